"""Asks the API for its OpenAPI document and sends it what schemathesis makes of that: `fuzz.py URL TOKEN SEED EXAMPLES LEAST`. EXAMPLES is how many
random requests each phase may make of an operation, LEAST how many requests there must be in all."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from schemathesis.specs.openapi import definitions


def get(url, path):
    """An answer of the API."""
    with urllib.request.urlopen(urllib.request.Request(url + path, headers={'X-Auth-Token': os.environ['RATOON_FUZZ_TOKEN']})) as answer:
        return json.load(answer)


def things(url, servers):
    """The ids of what there is of these servers, by the words that stand in paths."""
    found = {'servers': servers, 'snapshots': [], 'branches': [], 'operations': []}
    for server in servers:
        tree = get(url, f'/v1/servers/{server}/tree')['tree']
        found['snapshots'] += [node['id'] for node in tree['nodes']]
        found['branches'] += [branch['id'] for branch in tree['branches']]
        found['operations'] += [operation['id'] for operation in get(url, f'/v1/operations?server_id={server}')['operations']]
    return found


def narrow(document, kept, deleted, markers):
    """Says what a schema cannot: which ids there are, and which members do not go together. Deletions have things of their own.

    Who may ask for lists of other projects is given no `markers`: there, one of this project is a 400.
    """
    for path, item in document['paths'].items():
        for method, operation in item.items():
            operation['parameters'] = [one for one in operation['parameters'] if markers or one['name'] != 'marker']
            for parameter in operation['parameters']:
                name, kind = parameter['name'], path.split('/')[2:3]
                if parameter['in'] == 'path':
                    parameter['schema'] = {'enum': (deleted if method == 'delete' else kept)[kind[0]]}
                elif name == 'marker':  # another list's, or none's, is a 400
                    parameter['schema'] = {'enum': kept[kind[0]]}
                elif name in ('server_id', 'snapshot_id', 'branch_id'):  # what is not there finds nothing
                    ids = kept[{'server_id': 'servers', 'snapshot_id': 'snapshots', 'branch_id': 'branches'}[name]]
                    parameter['schema'] = {'anyOf': [{'enum': ids}, parameter['schema']]}
    schemas = document['components']['schemas']
    create = schemas['SnapshotCreateFields']['properties']
    create['server_id'] = {'enum': kept['servers'] + deleted['servers']}  # a list that is followed gives any of them
    create['exclude_disks']['maxItems'] = 0  # which disks a server has changes with each restore
    restore = schemas['RestoreFields']
    restore['properties']['disks']['items'] = {'enum': ['disk']}  # each snapshot has it
    schemas['RestoreFields'] = {'anyOf': [
        {**restore, 'properties': {name: schema for name, schema in restore['properties'].items() if name != other}}
        for other in ('disks', 'branch_name')]}
    schemas['SnapshotUpdateFields']['dependentSchemas'] = {
        'protected_reason': {'required': ['protected'], 'properties': {'protected': {'const': True}}}}


def main():
    """Exit code 1: something is wrong, and has been said."""
    url, os.environ['RATOON_FUZZ_TOKEN'], seed, examples, least = sys.argv[1:]
    document = get(url, '/v1/openapi.json')
    wrong = [error.message for error in definitions.OPENAPI_31_VALIDATOR.iter_errors(document)]
    if wrong:
        sys.exit(f'the document is not OpenAPI 3.1: {wrong}')
    servers = [server['id'] for server in get(url, '/v1/servers')['servers']]
    narrow(document, things(url, servers[::2]), things(url, servers[1::2]), markers=not os.environ['RATOON_FUZZ_TOKEN'].endswith('/admin'))
    for item in document['paths'].values():
        for operation in item.values():
            for answer in operation['responses'].values():
                for header in answer['headers'].values():
                    header['required'] = True  # what an answer's description has, each such answer has
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        (place / 'openapi.json').write_text(json.dumps(document))
        here = pathlib.Path(__file__).parent
        command = [pathlib.Path(sys.executable).with_name('st'), '--config-file', here / 'schemathesis.toml', '--no-color', 'run', place / 'openapi.json', '--url', url,
                   '--seed', seed, '--max-examples', examples, '--report-json-path', place / 'report']
        ended = subprocess.run(command, cwd=place, env={**os.environ, 'SCHEMATHESIS_HOOKS': str(here / 'hooks.py')})
        if ended.returncode:
            sys.exit(ended.returncode)
        made = json.loads((place / 'report').read_text())['test_cases']['generated']
        if made < int(least):
            sys.exit(f'only {made} requests were made')


if __name__ == '__main__':
    main()
