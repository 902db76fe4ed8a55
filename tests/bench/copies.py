"""Many rows, copied from one that was really made."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'cloud'))
import database  # noqa: E402

# An id that follows from a word, so that rows of several tables find each other.
ID = """CREATE FUNCTION {database}.id_of(word varchar(64) CHARACTER SET ascii) RETURNS char(36) CHARACTER SET ascii DETERMINISTIC
RETURN INSERT(INSERT(INSERT(INSERT(MD5(word), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-')"""


class Copies:
    """In a MariaDB; the other databases of the same server can be named (`cinder.snapshots`)."""

    def __init__(self, url):
        self.url = url
        self.run(ID.format(database=url.rpartition('/')[2]))

    def run(self, sql, *values):
        return database.rows(self.url, sql, values)

    def copy(self, table, where, value, first, last, **changed):
        """Copies a row once for each number; `{n}` in what is `changed` is the number."""
        schema, _, name = table.rpartition('.')
        found = self.run('SELECT column_name AS name FROM information_schema.columns WHERE table_name = %s AND '
                         'table_schema = ' + (f"'{schema}'" if schema else 'DATABASE()'), name)
        columns = [row['name'] for row in found]
        values = [changed.get(column, f't.`{column}`').format(n='k.seq') for column in columns]
        names = ', '.join(f'`{column}`' for column in columns)
        self.run(f'INSERT INTO {table} ({names}) SELECT {", ".join(values)} FROM {table} t JOIN seq_{first}_to_{last} k '
                 f'WHERE t.{where} = %s', value)
