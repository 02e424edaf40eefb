"""One reading of an app's table: alone, page by page, each kept together with how far it came."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import uuid4

import psycopg

from core.accounting import Accounting
from core.files import digest
from core.store.engine import connection
from core.store.foreign.opening import open_source
from core.store.foreign.rows import ForeignRow, Source
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape
from core.store.lease import Lease, lease
from core.store.pages import PAGE, letters, pages
from core.store.quarantine import Unusable
from core.store.watermarks import move_watermark, watermark

Keep = Callable[
    [psycopg.Connection, str, Sequence[Mapping[str, Any] | Unusable], str | None, datetime], Accounting
]
"""Keeps a page of a source's rows in the caller's transaction, for a run, at a moment."""


@dataclass(slots=True)
class Mark:
    """How far a source was read, as long as it is the same place, table and columns."""

    name: str
    read: str
    at: datetime | None

    def move(self, held: psycopg.Connection, page: Sequence[ForeignRow], now: datetime) -> None:
        """Never back, and never past the present: a clock that is ahead would hide what comes after it."""
        seen = [min(row.position, now) for row in page if row.position is not None]
        self.at = max([*seen, *([self.at] if self.at else [])], default=None)
        if self.at is not None:
            move_watermark(held, self.name, {"at": self.at.isoformat(), "read": self.read})


@dataclass(frozen=True, slots=True)
class Reading:
    """A table that is being read, and where its pages go."""

    opened: Source
    source: SourceSettings
    keep: Keep
    run_id: str | None
    now: datetime
    alone: Lease
    mark: Mark
    since: datetime | None
    """From where it is read this time; None for all of it."""

    def changed(self) -> Iterator[Accounting]:
        """Keep what was changed since the last time. Raises: SourceError, StoreError."""
        for page in pages(self.opened.changed(self.since), _letters):
            yield self._kept(page, changed=True)

    def awaited(self, query: LiteralString, asked: Mapping[str, Any]) -> Iterator[Accounting]:
        """Keep rows that wait for something and were not changed since, as far as is known. Raises: SourceError, StoreError.

        `query` gives their numbers and ids, from a number `after` on, at most `limit`, in the order of the numbers.
        """
        after = 0
        while self.since is not None:
            with connection() as held:
                rows = held.execute(query, {**asked, "after": after, "limit": PAGE}).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            for page in pages(self.opened.named([name for _, name in rows], self.since), _letters):
                yield self._kept(page, changed=False)

    def _kept(self, page: Sequence[ForeignRow], *, changed: bool) -> Accounting:
        """A page in one transaction; `changed`: it is one of those that the watermark follows."""
        with connection() as held:
            self.alone.renew(held)
            rows = [row.content for row in page]
            done = self.keep(held, self.source.name, rows, self.run_id, self.now)
            if changed:
                self.mark.move(held, page, self.now)
        return done


@contextmanager
def reading(
    source: SourceSettings, shape: Shape, name: str, keep: Keep, *, run_id: str | None, now: datetime
) -> Iterator[Reading]:
    """Read a source's table during the block, and let nobody else. Raises: ConfigError, SourceError, StoreError, BusyError."""
    with lease(f"collect {name}", run_id or uuid4().hex) as alone, open_source(source, shape) as opened:
        mark = _mark(name, source, opened)
        since = mark.at and mark.at - timedelta(minutes=source.overlap_minutes)
        yield Reading(opened, source, keep, run_id, now, alone, mark, since)


def _mark(name: str, source: SourceSettings, opened: Source) -> Mark:
    read = digest(opened.place, source.table, source.watermark, dict(opened.columns))
    with connection() as held:
        known = watermark(held, name)
    same = known is not None and known.get("read") == read
    return Mark(name, read, datetime.fromisoformat(known["at"]) if known and same else None)


def _letters(row: ForeignRow) -> int:
    return letters(row.content)
