"""An app's table in a SQLite file: opened read-only, and read in short transactions so that the app can write between.

Which rows are to be read, and in which order, is noted first, in a temporary table of our own connection.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote

from core.errors import ConfigError, SourceError, one_line
from core.store.foreign.rows import ForeignRow, at, foreign_row, milliseconds
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape, match, no_table
from core.value import LARGEST

PRIMARY = 0xFF
"""The part of a SQLite error code that every extended code of its kind has."""
BUSY_SECONDS = 30
PAGE_ROWS = 1_000
PAGE_BYTES = 16 * 1024 * 1024
SIZE = "octet_length({})" if sqlite3.sqlite_version_info >= (3, 43) else "length(CAST({} AS BLOB))"
TIME = """
    CASE typeof({0}) WHEN 'integer' THEN {0} WHEN 'real' THEN CAST({0} AS INTEGER)
    WHEN 'text' THEN CAST(round((julianday({0}) - 2440587.5) * 86400000) AS INTEGER) END
"""
"""Milliseconds since 1970 from either way in which apps keep a time here."""
NOTE = """
    CREATE TEMP TABLE noted AS SELECT {id} AS id, max({time}) AS position, max({size}) AS size
    FROM {table} WHERE {condition} GROUP BY 1 ORDER BY 2, 1
"""
ROWS = """
    SELECT n.rowid, n.position, n.size, {columns} FROM temp.noted n JOIN {table} t ON t.{id} IS n.id
    WHERE n.rowid > ? ORDER BY n.rowid
"""
ASKED = "{id} IN (SELECT id FROM temp.asked) AND {time} < ?"


class SqliteSource:
    """A table of a SQLite file."""

    def __init__(self, held: sqlite3.Connection, place: str, source: SourceSettings, shape: Shape) -> None:
        """Raises: ConfigError when table or columns are not there."""
        self._held, self._source, self.place = held, source, place
        found = held.execute("SELECT name FROM pragma_table_xinfo(?)", (source.table,)).fetchall()
        if not found:
            known = held.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY 1")
            raise no_table(source, place, [name.decode() for (name,) in known])
        self.columns: Mapping[str, str] = match(shape, source, [name.decode() for (name,) in found])
        self._table, self._id = f"main.{_quoted(source.table)}", _quoted(next(iter(self.columns.values())))
        self._time = TIME.format(_quoted(source.watermark)) if source.watermark else "NULL"

    def changed(self, since: datetime | None) -> Iterator[ForeignRow]:
        """Rows that were changed since then, the earliest first. Raises: SourceError."""
        with _translated(self.place):
            if since is None or self._source.watermark is None:
                yield from self._rows("true", ())
            else:
                condition = f"{self._time} >= ? OR {self._time} IS NULL"
                yield from self._rows(condition, (milliseconds(since),))

    def named(self, ids: Sequence[str], before: datetime) -> Iterator[ForeignRow]:
        """Those of these rows that were not changed since. Raises: SourceError."""
        if self._source.watermark is None:
            return
        with _translated(self.place):
            self._held.execute("CREATE TEMP TABLE asked AS SELECT CAST(NULL AS TEXT) AS id LIMIT 0")
            self._held.executemany("INSERT INTO temp.asked VALUES (?)", ((name,) for name in ids))
            yield from self._rows(ASKED.format(id=self._id, time=self._time), (milliseconds(before),))
            self._held.execute("DROP TABLE temp.asked")

    def _rows(self, condition: str, parameters: Sequence[int]) -> Iterator[ForeignRow]:
        own = [_quoted(name) for name in self.columns.values()]
        names = {"id": self._id, "time": self._time, "table": self._table}
        sizes = " + ".join(f"coalesce({SIZE.format(name)}, 0)" for name in own)
        self._held.execute(NOTE.format(**names, size=sizes, condition=condition), parameters)
        query, place = self._query(), 0
        while page := self._page(query, place):
            place = page[-1][0]
            yield from (row for _, row in page)
        self._held.execute("DROP TABLE temp.noted")

    def _page(self, query: str, after: int) -> list[tuple[int, ForeignRow]]:
        """The next rows, as many as fit into memory; whole ids, should one be there twice."""
        page: list[tuple[int, ForeignRow]] = []
        held_bytes = 0
        with closing(self._held.execute(query, (after,))) as cursor:
            for place, position, size, *raw in cursor:
                full = len(page) >= PAGE_ROWS or held_bytes > PAGE_BYTES
                if full and place != page[-1][0]:
                    break
                row = foreign_row(self._source.name, tuple(self.columns), raw, size, at(position))
                page.append((place, row))
                held_bytes += min(size, LARGEST)
        return page

    def _query(self) -> str:
        """Of a row that was found too large nothing but its id is fetched."""
        _, *rest = (_quoted(name) for name in self.columns.values())
        columns = [
            f"CASE WHEN n.size <= {LARGEST} THEN t.{self._id} ELSE substr(t.{self._id}, 1, 200) END",
            *(f"CASE WHEN n.size <= {LARGEST} THEN t.{name} END" for name in rest),
        ]
        return ROWS.format(id=self._id, table=self._table, columns=", ".join(columns))


@contextmanager
def sqlite_source(source: SourceSettings, url: str, shape: Shape) -> Iterator[SqliteSource]:
    """The table in a file that can't be written. Raises: ConfigError, SourceError."""
    path = database_file(url)
    if not path.is_file():
        raise ConfigError(f"{path} is no file: correct the source's URL (sqlite:///folder/app.db)")
    with _translated(str(path)):
        address = f"file:{quote(str(path))}?mode=ro"
        held = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    with closing(held):
        held.text_factory = bytes  # what is no UTF-8 is found row by row
        with _translated(str(path)):
            opened = SqliteSource(held, str(path), source, shape)
        yield opened


def database_file(url: str) -> Path:
    """The file that a URL names, in SQLAlchemy's spelling, in Prisma's, or as a path."""
    bare = url.partition("?")[0]
    for prefix in ("sqlite:///", "file://", "file:"):
        if bare.startswith(prefix):
            return Path(unquote(bare.removeprefix(prefix))).expanduser().absolute()
    return Path(url).expanduser().absolute()


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.NotSupportedError as error:
        raise ConfigError(f"{place} can't be read: {one_line(error)}") from error
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & PRIMARY == sqlite3.SQLITE_READONLY:
            raise ConfigError(
                f"{place} is in WAL mode, in which even a reader writes a file beside it ({one_line(error)}): let the worker "
                "write its folder, or give it a copy (VACUUM INTO)"
            ) from error
        raise SourceError(f"{place} can't be read now: {one_line(error)}; try again") from error
    except sqlite3.Error as error:
        raise ConfigError(
            f"{place} can't be read as a SQLite database: {one_line(error)}; check the file"
        ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
