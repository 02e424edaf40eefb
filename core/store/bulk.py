"""Many rows in and out of the database: COPY both ways, one row at a time in memory."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
import psycopg
from psycopg import adapters, sql
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

from core.store.tables import SCHEMA

Query = str | sql.Composable


def copy_in(
    connection: psycopg.Connection,
    table: str | sql.Composable,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> int:
    """Append rows to a table; how many. json and jsonb take their text. Raises: psycopg.Error.

    `types` are those of the columns ('text' for an enum), since rows go in PostgreSQL's binary form.
    """
    target = table if isinstance(table, sql.Composable) else sql.Identifier(SCHEMA, table)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(target, _names(columns))
    count = 0
    with connection.cursor() as cursor:
        for dumper in (_JsonText, _JsonbText):
            cursor.adapters.register_dumper(str, dumper)
        with cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
                count += 1
    return count


class _JsonText(Dumper):
    """A document that is text already."""

    format = Format.BINARY
    oid = adapters.types["json"].oid

    def dump(self, obj: str) -> bytes:
        return obj.encode()


class _JsonbText(_JsonText):
    """As jsonb takes it in binary: the version of the form, then the text."""

    oid = adapters.types["jsonb"].oid

    def dump(self, obj: str) -> bytes:
        return b"\x01" + obj.encode()


def stream(
    connection: psycopg.Connection, query: Query, types: Sequence[str], parameters: Any = None
) -> Iterator[tuple[Any, ...]]:
    """A query's rows as the server sends them, in binary; `types` are those of its columns. Raises: psycopg.Error.

    The connection can do nothing else until the last row was taken. json and jsonb come parsed, by orjson.
    """
    inner = query if isinstance(query, sql.Composable) else sql.SQL(query)
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(inner)
    with connection.cursor() as cursor:
        cursor.adapters.register_loader("json", _Json)
        cursor.adapters.register_loader("jsonb", _Jsonb)
        with cursor.copy(statement, parameters) as copy:
            copy.set_types(types)
            yield from copy.rows()


class _Json(Loader):
    """A document, read in place."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return orjson.loads(memoryview(data))


class _Jsonb(_Json):
    """As jsonb gives it in binary: the version of the form, then the text."""

    def load(self, data: Buffer) -> Any:
        return orjson.loads(memoryview(data)[1:])


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
