"""Prints random requests and what keystonemiddleware's auth_token does with them: `oracle.py KEYSTONE_URL SEED NUMBER`, a JSON object
a line. A token says in hexadecimal digits what Keystone is to say of it."""
import json
import logging
import random
import sys

import webob
from keystonemiddleware import auth_token

ONE = '11111111-1111-1111-1111-111111111111'
ROUTES = [('GET', '/v1/snapshots'), ('GET', '/v1/operations'), ('GET', f'/v1/servers/{ONE}/tree'), ('DELETE', f'/v1/servers/{ONE}/tree'),
          ('GET', f'/v1/snapshots/{ONE}'), ('DELETE', f'/v1/snapshots/{ONE}'), ('GET', f'/v1/branches/{ONE}'),
          ('DELETE', f'/v1/branches/{ONE}')]
PATHS = sorted({path for _, path in ROUTES})
PATTERNS = [*PATHS, '/v1/snapshots/*', '/v1/*/*', '/v1/**', '**', '/v1/servers/{server_id}/tree', '/v1/snap*', '/v1/{a}/{b}/tree', '/', '',
            '/v1/***', '/v1/snapshots/{id', '/v1/{/snapshots', '/v1/*', '/v1/servers/**/tree', '*', '/V1/snapshots']
METHODS = ['GET', 'GET', 'HEAD', 'DELETE']  # of access rules
FORGED = [['X-Identity-Status', 'Confirmed'], ['X-User-Id', 'root'], ['X-Roles', 'admin'], ['X-Service-Identity-Status', 'Confirmed'],
          ['X-Service-Roles', 'service'], ['X-Project-Id', 'any'], ['X-Role', 'admin']]


def middleware(url, required):
    """The middleware before a service that is glad of everybody."""
    return auth_token.AuthProtocol(webob.Response(), {
        'auth_type': 'admin_token', 'endpoint': f'{url}/v3', 'token': 'ours', 'auth_version': 'v3', 'http_request_max_retries': '0',
        'www_authenticate_uri': 'http://keystone:5000', 'service_type': 'server-snapshot', 'service_token_roles': 'service, helper',
        'service_token_roles_required': str(required)})


def token(chance, number, states, roles):
    """A token that says of itself what it is; the number makes it one of its own."""
    rules = None
    if chance.random() < 0.5:
        rules = [{'id': str(at), 'service': chance.choice(['server-snapshot'] * 5 + ['compute']), 'method': chance.choice(METHODS),
                  'path': chance.choice(PATTERNS)} for at in range(chance.randrange(4))]
    facts = {'number': number, 'state': chance.choice(states), 'roles': chance.sample(roles, chance.randrange(1, len(roles))),
             'catalog': chance.choice([['server-snapshot', 'compute']] * 4 + [['compute'], []]), 'access_rules': rules}
    return json.dumps(facts).encode().hex()


def case(chance, users, services):
    """A request."""
    headers = chance.sample(FORGED, chance.randrange(3))
    service = chance.choice(services) if chance.random() < 0.5 else chance.choice(['', None])
    user = chance.choice(users)
    headers += [['X-Service-Token', service]] if service is not None else []
    headers += chance.choice([[['X-Auth-Token', user]]] * 8 + [
        [], [['X-Auth-Token', '']], [['X-Storage-Token', user]], [['X-Auth-Token', user], ['X-Storage-Token', 'other']],
        [['X-Auth-Token', ''], ['X-Storage-Token', user]], [['X-Auth-Token', f' {user} ']]])
    method, path = chance.choice(ROUTES)
    return {'path': path, 'method': method, 'headers': headers, 'required': chance.random() < 0.5}


def main():
    """Each request is judged by a middleware of its own options; they keep their caches."""
    logging.disable(logging.CRITICAL)
    url, seed, number = sys.argv[1:]
    chance = random.Random(seed)
    judges = {required: middleware(url, required) for required in (True, False)}
    users = [token(chance, at, ['live', 'live', 'live', 'ended', 'revoked', 'broken'], ['member', 'reader', 'admin']) for at in range(60)]
    services = [token(chance, 100 + at, ['live', 'live', 'live', 'live', 'ended', 'revoked', 'broken'], ['service', 'helper', 'Service', 'member'])
                for at in range(30)]
    for _ in range(int(number)):
        request = case(chance, users, services)
        asked = webob.Request.blank(request['path'], method=request['method'], headers=dict(request['headers']))
        answer = asked.get_response(judges[request['required']])
        print(json.dumps({**request, 'status': answer.status_int, 'authenticate': answer.headers.get('WWW-Authenticate')}))


if __name__ == '__main__':
    main()
