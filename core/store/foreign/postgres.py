"""An app's table in PostgreSQL: one read-only transaction, and COPY out of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict

from core.document import Unreadable
from core.errors import ConfigError, OvernightError, SourceError, one_line
from core.store.bulk import stream
from core.store.engine import CONNECT_SECONDS, FORBIDDEN, TURNED_AWAY
from core.store.foreign.rows import ForeignRow, foreign_row
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape, match, no_table
from core.value import LARGEST, moment

OF_A_TABLE = """
    SELECT a.attname, format_type(a.atttypid, NULL), t.typcategory::text
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
TABLES = """
    SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1 LIMIT 200
"""
ROWS = sql.SQL("""
    SELECT position, size, CASE WHEN size > {limit} THEN left({id}, 200) ELSE {id} END, {rest}
    FROM (SELECT *, {size} AS size
          FROM (SELECT {watermark} AS moved, ({watermark})::text AS position, {texts} FROM {table} WHERE {condition} OFFSET 0)
          AS texts) AS sized
    ORDER BY moved NULLS FIRST, {id}
""")
FIXED: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "client_encoding": "UTF8",
    "application_name": "overnight",
    "prepare_threshold": None,
}
WRONG_VALUE = "22"
"""SQLSTATEs of values that a type can't hold: all that is sent to an app's database are times, and ids that it gave."""
TIMES, NUMBERS = "D", "N"
"""PostgreSQL's categories of types."""


class PostgresSource:
    """A table of another PostgreSQL in one snapshot of it."""

    def __init__(self, held: psycopg.Connection, source: SourceSettings, shape: Shape) -> None:
        """Raises: ConfigError when table or columns are not there."""
        self._held, self._source = held, source
        self.place = f"{held.info.host}:{held.info.port}/{held.info.dbname}"
        self._table = sql.Identifier(*source.table.split(".", 1))
        found = held.execute(OF_A_TABLE, (self._table.as_string(held),)).fetchall()
        if not found:
            raise no_table(source, self.place, [name for (name,) in held.execute(TABLES)])
        self._types = {name: (kind, category) for name, kind, category in found}
        self.columns: Mapping[str, str] = match(shape, source, list(self._types))
        if source.watermark and self._types[source.watermark][1] != TIMES:
            raise ConfigError(
                f"{source.table}.{source.watermark} is {self._types[source.watermark][0]}, not a time: name another "
                f"column in {source.section}.watermark, or null to read the whole table each time"
            )

    def changed(self, since: datetime | None) -> Iterator[ForeignRow]:
        """Rows that were changed since then, the earliest first. Raises: SourceError."""
        if since is None or self._source.watermark is None:
            return self._rows(sql.SQL("true"), {})
        condition = sql.SQL("{0} >= %(since)s::timestamptz OR {0} IS NULL")
        return self._rows(condition.format(sql.Identifier(self._source.watermark)), {"since": since})

    def named(self, ids: Sequence[str], before: datetime) -> Iterator[ForeignRow]:
        """Those of these rows that were not changed since. Raises: SourceError."""
        if self._source.watermark is None:
            return iter(())
        own = next(iter(self.columns.values()))
        condition = sql.SQL("{} = ANY (%(ids)s::{}[]) AND {} < %(before)s::timestamptz").format(
            sql.Identifier(own), sql.SQL(self._types[own][0]), sql.Identifier(self._source.watermark)
        )
        return self._rows(condition, {"ids": list(ids), "before": before})

    def _rows(self, condition: sql.Composable, parameters: Mapping[str, Any]) -> Iterator[ForeignRow]:
        """Whatever type a column has, its text: nothing that a row holds can break off the others."""
        query = self._query(condition)
        kinds = ["bytea", "int8", *("bytea" for _ in self.columns)]
        numbers = {ours for ours, own in self.columns.items() if self._types[own][1] == NUMBERS}
        try:
            for position, size, *raw in stream(self._held, query, kinds, parameters):
                values = [
                    _number(value) if name in numbers else value
                    for name, value in zip(self.columns, raw, strict=True)
                ]
                yield foreign_row(self._source.name, tuple(self.columns), values, size, _time(position))
        except psycopg.Error as error:
            raise source_error(self.place, error) from error

    def _query(self, condition: sql.Composable) -> sql.Composable:
        watermark = self._source.watermark
        first, *others = map(sql.Identifier, self.columns)
        texts = (
            sql.SQL("{}::text AS {}").format(sql.Identifier(own), sql.Identifier(ours))
            for ours, own in self.columns.items()
        )
        sizes = (sql.SQL("coalesce(octet_length({}), 0)::int8").format(name) for name in (first, *others))
        limit = sql.Literal(LARGEST)
        rest = (sql.SQL("CASE WHEN size <= {} THEN {} END").format(limit, name) for name in others)
        return ROWS.format(
            limit=limit,
            id=first,
            rest=sql.SQL(", ").join(rest),
            size=sql.SQL(" + ").join(sizes),
            watermark=sql.Identifier(watermark) if watermark else sql.SQL("NULL::timestamptz"),
            texts=sql.SQL(", ").join(texts),
            table=self._table,
            condition=condition,
        )


@contextmanager
def postgres_source(source: SourceSettings, url: str, shape: Shape) -> Iterator[PostgresSource]:
    """The table in a transaction that can't write. Raises: ConfigError, SourceError."""
    held = _connect(url)
    try:
        held.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        held.read_only = True
        held.execute("SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true)")
        if schema := dict(parse_qsl(url.partition("?")[2])).get("schema"):  # as Prisma's URLs name it
            held.execute("SELECT set_config('search_path', quote_ident(%s), true)", (schema,))
        yield PostgresSource(held, source, shape)
    except psycopg.Error as error:
        raise source_error(f"{held.info.host}:{held.info.port}/{held.info.dbname}", error) from error
    finally:
        held.close()


def source_error(place: str, error: psycopg.Error) -> OvernightError:
    """What the app's database said, as one line: a SourceError when it may pass, else a ConfigError."""
    words, state = one_line(error), error.sqlstate or ""
    if state.startswith(FORBIDDEN) or TURNED_AWAY.search(words):
        return ConfigError(
            f"{place} does not let this user read: {words}; correct the URL of the source, or GRANT SELECT there"
        )
    if state.startswith(WRONG_VALUE):
        return ConfigError(
            f"{place} can't look up the ids that are kept under the source's name ({words}): they are of another table; give "
            "this one a source.name of its own"
        )
    return SourceError(f"{place} broke off: {words}; what was read before is kept, try again")


def _connect(url: str) -> psycopg.Connection:
    """Connect by libpq's parameters; those of other clients, as Prisma's `connection_limit`, are left out."""
    base, _, query = re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", url).partition("?")
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    options = urlencode([(name, value) for name, value in parse_qsl(query) if name in known])
    try:
        given = conninfo_to_dict(f"{base}?{options}")
    except psycopg.Error as error:  # whose words may hold a part of the password
        raise ConfigError(
            "the source's URL can't be read: write it as postgresql://user:password@host:5432/database, with @ : / ? # in a "
            "password percent-encoded"
        ) from error
    try:
        return psycopg.connect(**FIXED | given)
    except psycopg.OperationalError as error:
        raise source_error(str(given.get("host", "localhost")), error) from error


def _number(value: bytes | None) -> float | int | None:
    """A number of any type from its text."""
    if value is None:
        return None
    return int(value) if value.lstrip(b"-").isdigit() else float(value)


def _time(position: bytes | None) -> datetime | None:
    """A watermark; None for infinity, and for years that Python doesn't know."""
    try:
        return None if position is None else moment("watermark", position.decode())
    except Unreadable:
        return None
