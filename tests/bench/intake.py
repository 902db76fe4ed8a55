#!/usr/bin/python3
"""What does it cost to hear a notification? intake.py OUT.json [MESSAGES [PAIRS]]

Two ways to empty a queue of MESSAGES real `instance.update` notifications with ids of their own, in turn, A B A B, against a broker of
the benchmark's own: Ratoon's intake, with every message committed to its inbox, and the notification listener of Debian's
python3-oslo.messaging (executor `threading`), whose endpoint does nothing. Counted is the processor time of each process, from
the moment it begins to listen until it has the last message. The messages are in the queue beforehand. Goal: median of the pairs'
ratios <= 1/5.
"""
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

import amqp

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SAMPLE = TOP / 'tests/notifications/samples/nova.versioned.instance.update.json'
EXCHANGE, TOPIC, GOAL = 'bench', 'versioned_notifications', 0.2


class Broker:
    def __init__(self, folder):
        self.folder, self.port = folder / 'broker', free_ports()
        self.url = self.run('fresh', str(self.port)).strip()

    def run(self, command, *arguments):
        done = subprocess.run([TOP / 'devstack/broker', command, self.folder, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    def stop(self):
        self.run('stop')

    def channel(self):
        connection = amqp.Connection(f'127.0.0.1:{self.port}', userid='ratoon', password='ratoon', confirm_publish=False)
        connection.connect()
        return connection, connection.channel()


def free_ports():
    """The first of three in a row."""
    while True:
        with socket.socket() as one:
            one.bind(('127.0.0.1', 0))
            port = one.getsockname()[1]
        try:
            for number in range(port, port + 3):
                with socket.socket() as one:
                    one.bind(('127.0.0.1', number))
            return port
        except (OSError, OverflowError):
            continue


def publish(broker, queue, messages, durable, arguments):
    """Fills a queue as Nova would. Returns the server of the last message, which no other message has."""
    sample = json.loads(SAMPLE.read_text())
    message = json.loads(sample['body']['oslo.message'])
    server = str(uuid.uuid4())
    connection, channel = broker.channel()
    channel.exchange_declare(EXCHANGE, 'topic', durable=False, auto_delete=False)
    channel.queue_declare(queue, durable=durable, auto_delete=False, arguments=arguments)
    channel.queue_bind(queue, EXCHANGE, f'{TOPIC}.info')
    for number in range(messages):
        message['message_id'] = str(uuid.uuid4())
        message['_unique_id'] = uuid.uuid4().hex
        message['payload']['nova_object.data']['uuid'] = server if number == messages - 1 else str(uuid.uuid4())
        body = json.dumps({'oslo.version': '2.0', 'oslo.message': json.dumps(message)})
        channel.basic_publish(amqp.Message(body, content_type='application/json', content_encoding='utf-8', delivery_mode=2),
                              EXCHANGE, f'{TOPIC}.info')
    while channel.queue_declare(queue, passive=True).message_count < messages:
        time.sleep(0.1)
    connection.close()
    return server


def ours(broker, folder, messages, binary):
    queue, out = f'ours-{uuid.uuid4()}', folder / 'ours.json'
    last = publish(broker, queue, messages, True, {
        'x-queue-type': 'classic', 'x-max-length': 1_000_000, 'x-overflow': 'drop-head',
        'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': f'{queue}.dead'})
    env = {**os.environ, 'RATOON_BENCH_URL': broker.url, 'RATOON_BENCH_QUEUE': queue, 'RATOON_BENCH_EXCHANGE': EXCHANGE,
           'RATOON_BENCH_MESSAGES': str(messages), 'RATOON_BENCH_LAST': last, 'RATOON_BENCH_OUT': str(out)}
    subprocess.run([binary, '--ignored', '--exact', 'bench::what_the_intake_costs'], env=env, check=True, capture_output=True, text=True)
    forget(broker, queue, f'{queue}.dead')
    return json.loads(out.read_text())


def theirs(broker, folder, messages):
    # oslo.messaging names its queue as the pool that it is given, and keeps it in memory only.
    queue, out = f'theirs-{uuid.uuid4()}', folder / 'theirs.json'
    publish(broker, queue, messages, False, None)
    subprocess.run([sys.executable, __file__, '--listener', broker.url, queue, str(messages), out], check=True)
    forget(broker, queue)
    return json.loads(out.read_text())


def forget(broker, *queues):
    connection, channel = broker.channel()
    for queue in queues:
        channel.queue_delete(queue)
    connection.close()


def listener(url, queue, messages, out):
    """The other half, in a process of its own."""
    import threading

    import oslo_messaging
    from oslo_config import cfg

    done, heard = threading.Event(), 0

    class Endpoint:
        def info(self, context, publisher_id, event_type, payload, metadata):
            nonlocal heard
            heard += 1
            if heard == int(messages):
                done.set()

    transport = oslo_messaging.get_notification_transport(cfg.ConfigOpts(), url=url)
    target = oslo_messaging.Target(topic=TOPIC, exchange=EXCHANGE)
    begun, before = time.monotonic(), sum(os.times()[:2])
    server = oslo_messaging.get_notification_listener(transport, [target], [Endpoint()], executor='threading', pool=queue)
    server.start()
    done.wait()
    found = {'cpu_s': round(sum(os.times()[:2]) - before, 3), 'wall_s': round(time.monotonic() - begun, 3)}
    pathlib.Path(out).write_text(json.dumps(found))
    # An orderly stop takes seconds, and is not what is measured.
    os._exit(0)


def main():
    out = pathlib.Path(sys.argv[1])
    messages, pairs = (int(word) if word else standard for word, standard in zip((sys.argv[2:] + ['', ''])[:2], (20_000, 3)))
    binary = os.environ['RATOON_BENCH_TESTS']
    rows = []
    with tempfile.TemporaryDirectory(prefix='ratoon-bench-') as folder:
        folder = pathlib.Path(folder)
        broker = Broker(folder)
        try:
            for _ in range(pairs):
                rows.append((ours(broker, folder, messages, binary), theirs(broker, folder, messages)))
        finally:
            broker.stop()
    ratios = [a['cpu_s'] / b['cpu_s'] for a, b in rows]
    found = {'messages': messages, 'pairs': pairs, 'goal': GOAL, 'ratio_median': round(statistics.median(ratios), 3),
             'ratio_min': round(min(ratios), 3), 'ratio_max': round(max(ratios), 3)}
    for name, side in (('ratoon', 0), ('oslo.messaging', 1)):
        found[name] = {'cpu_us_per_message': [round(row[side]['cpu_s'] / messages * 1e6, 1) for row in rows],
                       'messages_per_s': [round(messages / row[side]['wall_s']) for row in rows]}
        print(f'{name:16}{statistics.median(found[name]["cpu_us_per_message"]):8.1f} us of processor a message, '
              f'{statistics.median(found[name]["messages_per_s"]):8.0f} messages/s')
    out.write_text(json.dumps(found, indent=2) + '\n')
    ratio = found['ratio_median']
    print(f'ratio: {ratio} ({found["ratio_min"]}-{found["ratio_max"]}); goal: <= {GOAL}: {"met" if ratio <= GOAL else "NOT MET"}')
    sys.exit(ratio > GOAL)


if __name__ == '__main__':
    if sys.argv[1] == '--listener':
        listener(*sys.argv[2:])
    else:
        main()
