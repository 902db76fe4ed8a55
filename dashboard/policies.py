#!/usr/bin/env python3
"""Writes the service's rules, from its own sample file, as Horizon reads them: policies.py > ratoon_dashboard/conf/default_policies.yaml

Horizon shows a panel by them. A cloud that has changed the service's rules gives Horizon the same file (conf/policy.yaml).
"""
import pathlib
import re
import sys

import yaml

SAMPLE = pathlib.Path(__file__).parent.parent / "etc/ratoon/policy.yaml.sample"
RULE = re.compile(r'^#("[^"]+": .*)$')
OPERATION = re.compile(r"^# (GET|POST|PUT|PATCH|DELETE) (\S+)$")


def rules(sample):
    """The rules in the sample's order; a rule stands behind its description and what it is asked for."""
    found, words, operations = [], [], []
    for line in sample.splitlines():
        if not line.startswith("#"):
            words, operations = [], []
        elif match := RULE.match(line):
            [(name, check)] = yaml.safe_load(match[1]).items()
            found.append({"name": name, "check_str": check, "description": " ".join(words), "operations": operations, "scope_types": None})
            words, operations = [], []
        elif match := OPERATION.match(line):
            operations.append({"method": match[1], "path": match[2]})
        elif not line.startswith("# Intended scope"):
            words.append(line[2:])
    return found


def text():
    return yaml.safe_dump(rules(SAMPLE.read_text()), sort_keys=True, width=120)


if __name__ == "__main__":
    sys.stdout.write(text())
