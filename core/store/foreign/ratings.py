"""Ratings from an app's own table into the store, with what was rated where the table says it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from core.accounting import Accounting
from core.rating import ENTRY, ENTRY_CALLED, RATING, RATING_CALLED
from core.store.foreign.reading import reading
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape
from core.store.quarantine import Unusable
from core.store.ratings import entries_page, ratings_page

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
        str(row["entry_id"]): {name: row.get(name) for name in ENTRY}
        for row in rows
        if not isinstance(row, Unusable) and any(row.get(name) is not None for name in SHOWN)
    }
    entries = entries_page(held, source, list(shown.values()), run_id)
    return entries + ratings_page(held, source, rows, run_id, now)
