"""Does it all really work? Boot, count, attach, snapshot, stop, roll back by rename and clone, delete; and the messages of it.

As the plain member "demo" wherever a user would be. Leaves nothing behind; after a failure everything stays for a look
(`minicloud reset` takes it away).
"""
import json
import os
import threading
import time

import amqp
import openstack
import rados
import rbd

import check
import disktick

MESSAGES = {
    'instance.create.end', 'instance.volume_attach.end', 'instance.snapshot.end', 'instance.power_off.end',
    'instance.delete.end', 'compute.instance.create.end', 'compute.instance.delete.end', 'instance.update',
    'volume.create.end', 'snapshot.create.end', 'image.create',
}
demo = openstack.connect(username='demo', project_name='demo')
NAME = f'prove-{os.getpid()}'
START = time.monotonic()


def say(text):
    print(f'{time.monotonic() - START:6.1f} s  {text}', flush=True)


def until(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f'{what}: not after {seconds} s'
        time.sleep(0.2)
    return result


class Tap(threading.Thread):
    """Hears every notification on a private queue, so that nobody else loses one."""

    def __init__(self):
        super().__init__(daemon=True)
        url, self.heard = check.transport(), set()
        self.connection = amqp.Connection(f'{url.hostname}:{url.port}', url.username, url.password)
        self.connection.connect()
        channel = self.connection.channel()
        queue = channel.queue_declare(exclusive=True).queue
        for exchange in ('nova', 'glance', 'openstack'):  # Cinder's is oslo's default, "openstack"
            for topic in ('notifications.*', 'versioned_notifications.*'):
                channel.exchange_declare(exchange, 'topic', durable=False, auto_delete=False)
                channel.queue_bind(queue, exchange, topic)
        channel.basic_consume(queue, no_ack=True, callback=self.on_message)

    def on_message(self, message):
        self.heard.add(json.loads(json.loads(message.body)['oslo.message'])['event_type'])

    def run(self):
        while True:
            self.connection.drain_events()


def status(server):
    return demo.compute.get_server(server).status


def console(server):
    return demo.compute.get_server_console_output(server)['output']


def main():
    tap = Tap()
    tap.start()
    with disktick.connect() as ceph:
        ceph.conf_set('rbd_default_clone_format', '2')  # clones an unprotected snapshot
        vms = ceph.open_ioctx('vms')
        tick = lambda spec: disktick.read(ceph, spec)
        server = demo.compute.create_server(name=NAME, image_id=demo.image.find_image('tick').id, networks='none',
                                            flavor_id=demo.compute.find_flavor('tiny-eph').id)
        until('active', lambda: status(server) == 'ACTIVE')
        head = f'vms/{server.id}_disk'
        until('counting', lambda: (tick(head)['counter'] or 0) > 2)
        say(f'server up; disks in vms: {sorted(n.split("_", 1)[1] for n in rbd.RBD().list(vms) if n.startswith(server.id))}')
        with rbd.Image(vms, f'{server.id}_disk', read_only=True) as image:
            assert image.parent_info()[0] == 'images', 'the system disk is not a clone of the image'

        volume = demo.create_volume(1, name=NAME, wait=True)
        demo.attach_volume(server, volume, wait=True)
        data = f'volumes/volume-{volume.id}'
        until('counting on the volume', lambda: tick(data)['counter'])
        line = until('the disk line', lambda: [i for i in console(server).splitlines() if f'serial={volume.id[:20]}' in i])[0]
        assert tick(data)['label'] in line
        say(f'volume attached: {line}')
        snapshot = demo.create_volume_snapshot(volume.id, force=True, name=NAME, wait=True)
        assert tick(f'{data}@snapshot-{snapshot.id}')['phase'] == 'run'
        demo.delete_volume_snapshot(snapshot.id, wait=True)

        image = demo.create_image_snapshot(NAME, server, wait=True)
        say(f'image of the running server: {tick(f"images/{image.id}@snap")}')

        with rbd.Image(vms, f'{server.id}_disk') as disk:
            disk.create_snap('t1')
        t1 = tick(f'{head}@t1')
        time.sleep(3)
        demo.compute.stop_server(server)
        until('stopped', lambda: status(server) == 'SHUTOFF')
        at_rest = {spec: tick(spec) for spec in (head, data)}
        assert len({t['counter'] for t in at_rest.values()}) == 1, at_rest
        assert {t['phase'] for t in at_rest.values()} == {'shutdown'}, at_rest
        say(f'stopped; all disks at rest at {at_rest[head]["counter"]}, phase shutdown')

        rbd.RBD().rename(vms, f'{server.id}_disk', f'{NAME}-parked')
        rbd.RBD().clone(vms, f'{NAME}-parked', 't1', vms, f'{server.id}_disk')
        demo.compute.start_server(server)
        until('started', lambda: status(server) == 'ACTIVE')
        until('the guest', lambda: 'GUEST up' in console(server))  # the console begins anew with each start
        assert f'found=COUNTER {t1["counter"]} {t1["epoch"]} run label={t1["label"]}' in console(server)
        assert f'found=COUNTER {at_rest[data]["counter"]} {at_rest[data]["epoch"]} shutdown' in console(server)
        say(f'rolled back from {at_rest[head]["counter"]} to {t1["counter"]}; the data disk stays at {at_rest[data]["counter"]}')

        demo.delete_server(server.id, wait=True)
        assert not [n for n in rbd.RBD().list(vms) if n.startswith(server.id)], 'disks are left'
        until('available', lambda: demo.get_volume(volume.id).status == 'available')
        demo.delete_volume(volume.id, wait=True)
        demo.delete_image(image.id, wait=True)
        with rbd.Image(vms, f'{NAME}-parked') as parked:
            parked.remove_snap('t1')
        rbd.RBD().remove(vms, f'{NAME}-parked')
        until(f'messages {MESSAGES - tap.heard}', lambda: MESSAGES <= tap.heard, 10)
        say(f'deleted; {len(tap.heard)} kinds of message heard, of Glance: {sorted(e for e in tap.heard if e.startswith("image"))}')
    say('ok')


if __name__ == '__main__':
    main()
