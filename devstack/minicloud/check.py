"""Is the cloud usable? The self-check at the end of `up`.

check.py                    wait until everything is, then print a line a thing; exit 1 with what is missing
check.py --listening NAME   does the RPC worker NAME (nova-compute, cinder-volume, ...) serve its queue right now?
"""
import os
import sys
import time
import urllib.parse

HOST = 'minicloud'  # in nova.conf and cinder.conf
# A service row says "up" for a minute after its process was killed. The broker knows at once who serves a queue.
QUEUES = {
    'nova-conductor': f'conductor.{HOST}',
    'nova-scheduler': f'scheduler.{HOST}',
    'nova-compute': f'compute.{HOST}',
    'cinder-scheduler': f'cinder-scheduler.{HOST}',
    'cinder-volume': f'cinder-volume.{HOST}@ceph',
}
OF_THE_SECOND = {'nova-compute-second': 'compute.second'}  # see second.sh


def transport():
    with open(os.path.join(os.environ['MINICLOUD_DIR'], 'conf', 'nova.conf')) as f:
        url = next(line.split('=', 1)[1].strip() for line in f if line.startswith('transport_url'))
    return urllib.parse.urlsplit(url)


def listening(names):
    """The names among these whose queue has a consumer."""
    import amqp
    url, served = transport(), set()
    with amqp.Connection(f'{url.hostname}:{url.port}', url.username, url.password) as connection:
        for name in names:
            try:
                if connection.channel().queue_declare({**QUEUES, **OF_THE_SECOND}[name], passive=True).consumer_count:
                    served.add(name)
            except amqp.exceptions.NotFound:
                pass
    return served


def ceph():
    """(usable, text)"""
    import json

    import rados
    conf = os.environ['CEPH_CONF']
    with rados.Rados(conffile=conf, rados_id='admin', conf={'client_mount_timeout': '10', 'rados_osd_op_timeout': '10'}) as c:
        _, out, _ = c.mon_command(json.dumps({'prefix': 'status', 'format': 'json'}), b'')
        status = json.loads(out)
        for pool in ('images', 'vms', 'volumes'):
            with c.open_ioctx(pool) as io:
                io.write_full('minicloud_check', b'ok')  # the OSD map may still name a dead OSD as up
                io.remove_object('minicloud_check')
    health = status['health']['status']
    reasons = ', '.join(status['health'].get('checks', {}))
    return health != 'HEALTH_ERR', f'ceph: {health} {reasons}'.strip()


def workers(cloud):
    served = listening(QUEUES)
    up = {s.binary for s in cloud.compute.services() if s.state == 'up'}
    up |= {s['binary'] for s in cloud.block_storage.get('/os-services').json()['services'] if s['state'] == 'up'}
    missing = [n for n in QUEUES if n not in served or n not in up]
    return not missing, 'workers: ' + (f'not yet up: {", ".join(missing)}' if missing else 'all up')


def image(cloud):
    status = [i.status for i in cloud.image.images(name='tick')]
    return status == ['active'], f'image tick: {", ".join(status) or "missing"}'


def demo_token():
    import openstack
    cloud = openstack.connect(username='demo', project_name='demo')
    cloud.authorize()
    return True, 'token for demo: ok'


def main():
    import openstack
    cloud = openstack.connect()
    checks = [ceph, lambda: workers(cloud), lambda: image(cloud), demo_token]
    deadline = time.monotonic() + 90
    while checks:
        try:
            ok, text = checks[0]()
        except Exception as e:  # whatever it is, it may pass while services are still starting
            ok, text = False, f'{type(e).__name__}: {e}'
        if ok:
            print(' ', text, flush=True)
            checks.pop(0)
        elif time.monotonic() > deadline:
            sys.exit(f'  NOT OK: {text}')
        else:
            time.sleep(0.3)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--listening']:
        sys.exit(not listening(sys.argv[2:]) >= set(sys.argv[2:]))
    main()
