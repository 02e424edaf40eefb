"""Many rows in and out of the database: COPY both ways, one row at a time in memory."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
import psycopg
from psycopg import adapters, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.json import set_json_loads

from core.store.tables import SCHEMA

Query = str | sql.Composable


def copy_in(
    connection: psycopg.Connection,
    table: str | sql.Composable,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> int:
    """Append rows to a table; how many. jsonb takes its text. Raises: psycopg.Error.

    `types` are those of the columns ('text' for an enum), since rows go in PostgreSQL's binary form.
    """
    target = table if isinstance(table, sql.Composable) else sql.Identifier(SCHEMA, table)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(target, _names(columns))
    count = 0
    with connection.cursor() as cursor:
        cursor.adapters.register_dumper(str, _JsonText)
        with cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
                count += 1
    return count


class _JsonText(Dumper):
    """A document that is text already, as jsonb takes it in binary: the version of the form, then the text."""

    format = Format.BINARY
    oid = adapters.types["jsonb"].oid

    def dump(self, obj: str) -> bytes:
        return b"\x01" + obj.encode()


def stream(
    connection: psycopg.Connection, query: Query, types: Sequence[str], parameters: Any = None
) -> Iterator[tuple[Any, ...]]:
    """A query's rows as the server sends them, in binary; `types` are those of its columns. Raises: psycopg.Error.

    The connection can do nothing else until the last row was taken. jsonb comes parsed, and as read by orjson.
    """
    set_json_loads(orjson.loads, connection)
    inner = query if isinstance(query, sql.Composable) else sql.SQL(query)
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(inner)
    with connection.cursor() as cursor, cursor.copy(statement, parameters) as copy:
        copy.set_types(types)
        yield from copy.rows()


def staging(
    connection: psycopg.Connection, like: str, columns: Sequence[str], name: str = "staging"
) -> sql.Composable:
    """An empty temporary table with these columns of `like`, gone at the end of the transaction."""
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
            sql.Identifier(name), _names(columns), sql.Identifier(SCHEMA, like)
        )
    )
    return sql.Identifier("pg_temp", name)


def _names(columns: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
