"""Databases in the cloud's MariaDB, for tests of several controllers."""
import contextlib
import urllib.parse

import pymysql

from cloud import STATE, WORKER


def connect(url):
    place = urllib.parse.urlsplit(url)
    return pymysql.connect(host=place.hostname, user=place.username, password=place.password, database=place.path[1:] or None,
                           cursorclass=pymysql.cursors.DictCursor, autocommit=True)


def rows(url, sql, values):
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


@contextlib.contextmanager
def empty():
    """The URL of an empty one, which ends with the test."""
    server = f'mysql://openstack:{(STATE / "password").read_text().strip()}@127.0.0.1/'
    name = f'ratoon_test_{WORKER}'
    rows(server, f'DROP DATABASE IF EXISTS {name}', ())
    rows(server, f'CREATE DATABASE {name} CHARACTER SET utf8mb4', ())
    try:
        yield server + name
    finally:
        rows(server, f'DROP DATABASE {name}', ())
