"""Ratings from an app's own table into the store, with what was rated where the table says it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from core.accounting import Accounting
from core.document import Unreadable
from core.rating import ENTRY, ENTRY_CALLED, RATING, RATING_CALLED, Entry, read_entry
from core.store.foreign.reading import reading
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape
from core.store.quarantine import Unusable
from core.store.ratings import entries_page, of_another, ratings_page

ID = "rating_id"
NEEDED = (ID, "entry_id", "rating")
SHOWN = ("widget", "response")
"""Columns of which a row needs one to say what was rated."""
RATINGS = Shape(
    needed=NEEDED,
    optional=tuple(name for name in dict.fromkeys((*RATING, *ENTRY)) if name not in NEEDED),
    also_called=ENTRY_CALLED | RATING_CALLED | {ID: ("id",), "entry_id": ()},
)


def import_ratings(
    source: SourceSettings, *, run_id: str | None = None, now: datetime | None = None
) -> Iterator[Accounting]:
    """Keep what is new or changed in an app's table, page by page; what became of each page's rows.

    Entries that its rows show are kept with them, and counted as rows of their own. Raises: ConfigError, SourceError,
    StoreError, BusyError when another run reads the same source.
    """
    moment = now or datetime.now(UTC)
    with reading(source, RATINGS, f"ratings of {source.name}", _keep, run_id=run_id, now=moment) as read:
        yield from read.changed()


def _keep(
    held: psycopg.Connection,
    source: str,
    rows: Sequence[Mapping[str, Any] | Unusable],
    run_id: str | None,
    now: datetime,
) -> Accounting:
    shown = {
        tuple(row.get(name) for name in ENTRY): {name: row.get(name) for name in ENTRY}
        for row in rows
        if not isinstance(row, Unusable) and _shows(row)
    }
    refused: set[Entry] = set()
    entries = entries_page(held, source, list(shown.values()), run_id, refused)
    about = [_unless_another(source, row, refused) for row in rows] if refused else rows
    return entries + ratings_page(held, source, about, run_id, now)


def _shows(row: Mapping[str, Any]) -> bool:
    """Whether a row says what was rated."""
    return any(row.get(name) is not None for name in SHOWN)


def _unless_another(
    source: str, row: Mapping[str, Any] | Unusable, refused: Collection[Entry]
) -> Mapping[str, Any] | Unusable:
    """A row, or why its vote can't count: it was given to something else than what its entry's id stands for."""
    if isinstance(row, Unusable) or not _shows(row):
        return row
    with suppress(Unreadable):  # set aside as an entry already
        if read_entry(row) in refused:
            return of_another(source, row)
    return row
