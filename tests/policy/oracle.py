"""Prints random policy rules and what oslo.policy says of them: `oracle.py SEED NUMBER`, a JSON object a line."""
import json
import logging
import random
import sys

from oslo_config import cfg
from oslo_policy import policy

OTHERS = [('admin', 'role:admin'), ('owner', 'project_id:%(project_id)s'), ('default', 'role:auditor'),
          ('deep', 'rule:admin or not rule:owner'), ('empty', '')]
CHECKS = ['role:admin', 'role:Member', 'role:%(role)s', 'role:%(missing)s', 'rule:admin', 'rule:owner', 'rule:deep', 'rule:empty',
          'rule:missing', 'project_id:%(project_id)s', 'user_id:%(user_id)s', 'domain_id:%(missing)s', "'x':%(x)s", '"x":%(x)s',
          "'member':%(role)s", 'True:%(enabled)s', 'False:%(enabled)s', 'None:%(nothing)s', '7:%(seven)s', '07:%(seven)s', '8:%(seven)s',
          'token.project.id:%(project_id)s', 'token.roles.name:member', 'token.roles.name:Member', 'roles:member', 'is_admin:True',
          'system_scope:None', 'token.missing:x', 'user_id:u%%', 'user_id:u1', 'user_id:%(user_id)s%(x)s', '@', '!',
          'project_id:%(project_id)s:more']
# Python fails with the first ones where it comes to ask them, and takes the last one for nobody: "not nonsense" is everybody.
REFUSED = ['user_id:%', 'user_id:%(x', 'user_id:%(x)', 'nonsense']
ODD = [*REFUSED, "'quoted'", '"quoted"', 'and', 'or', 'not', '(', ')', '()', ':', 'user_id:',
       'AND', 'Or', 'NOT']
TARGETS = [{'project_id': 'p1', 'user_id': 'u1', 'x': 'x', 'role': 'member', 'enabled': True, 'nothing': None, 'seven': 7},
           {'project_id': 'p2', 'user_id': 'u2', 'x': 'y', 'role': 'Admin', 'enabled': False, 'nothing': 'None', 'seven': '7'}, {}]
CALLERS = [{'user_id': user, 'project_id': project, 'roles': roles, 'is_admin': admin, 'system_scope': None,
            'token': {'project': {'id': project}, 'roles': [{'name': role} for role in roles]}}
           for user, project, roles, admin in (('u1', 'p1', ['member', 'reader'], False), ('u2', 'p2', ['ADMIN'], True),
                                               ('u%', 'p1', ['auditor'], False), ('u1x', 'p3', [], False))]


def sound(chance, depth=3):
    """A rule that follows the grammar."""
    what = chance.random()
    if depth == 0 or what < 0.35:
        return chance.choice(CHECKS)
    if what < 0.5:
        return f'{chance.choice(["not", "NOT"])} {sound(chance, 0)}'
    if what < 0.65:
        return f'({sound(chance, depth - 1)})' if chance.random() < 0.7 else f'( {sound(chance, depth - 1)} )'
    words = [' and ', ' or ', ' AND ', '  or\t']
    return chance.choice(words).join(sound(chance, depth - 1) for _ in range(chance.randrange(2, 4)))


def unsound(chance):
    """Words in any order."""
    return ' '.join(chance.choice(CHECKS + ODD * 2) for _ in range(chance.randrange(1, 7)))


def verdict(enforcer, target, caller):
    try:
        return bool(enforcer.enforce('tested', target, dict(caller)))
    except Exception:
        return None


def main(seed, number):
    logging.disable(logging.CRITICAL)
    chance = random.Random(seed)
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    for _ in range(number):
        text = sound(chance) if chance.random() < 0.6 else unsound(chance)
        enforcer = policy.Enforcer(conf, use_conf=False)
        enforcer.set_rules(policy.Rules.from_dict({**dict(OTHERS), 'tested': text}, 'default'), use_conf=False)
        asked = [(target, caller, verdict(enforcer, target, caller)) for target in TARGETS for caller in CALLERS]
        refused = any(word in REFUSED for word in text.split())
        print(json.dumps({'text': text, 'others': OTHERS, 'refused': refused, 'asked': asked}))


main(sys.argv[1], int(sys.argv[2]))
