"""Decisions into the store: in pages, each read, held against what is there, and committed or not at all."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg

from core.accounting import Accounting
from core.decision import COLUMNS, DOCUMENTS, TIMES, read_decision
from core.store.engine import connection
from core.store.newest import Newest
from core.store.quarantine import Unusable

PAGE = 5_000
"""Rows a commit."""
PAGE_BYTES = 32 * 1024 * 1024
"""Bytes of text that end a page before."""
Row = TypeVar("Row")
TYPES = (
    dict.fromkeys(COLUMNS, "text")
    | dict.fromkeys(DOCUMENTS, "json")
    | dict.fromkeys(TIMES, "timestamptz")
    | {"step": "int4", "confidence": "float8"}
)
DECISIONS = Newest("decisions", read_decision, TYPES)


def ingest(
    source: str, rows: Iterable[Mapping[str, Any]], *, run_id: str | None = None, now: datetime | None = None
) -> Iterator[Accounting]:
    """Keep a source's decisions, page by page; what became of each page's rows.

    A row that is there already is replaced by one of a later `updated_at`; an equal one changes nothing. Of one id twice in
    a page, or older than what is there, the newest stands and the others go to quarantine.

    Raises: StoreError, and the pages before are kept.
    """
    moment = now or datetime.now(UTC)
    for page in pages(rows, letters):
        with connection() as held:
            done = ingest_page(held, source, page, run_id, moment)
        yield done


def pages(rows: Iterable[Row], size: Callable[[Row], int]) -> Iterator[list[Row]]:
    """Rows in parts that fit into memory, by their number and by their sizes in bytes."""
    page: list[Row] = []
    held_bytes = 0
    for row in rows:
        page.append(row)
        held_bytes += size(row)
        if len(page) == PAGE or held_bytes > PAGE_BYTES:
            yield page
            page, held_bytes = [], 0
    if page:
        yield page


def letters(row: Mapping[str, Any] | Unusable) -> int:
    """About how many bytes a row's texts hold."""
    values = (row.raw,) if isinstance(row, Unusable) else row.values()
    return sum(len(value) for value in values if isinstance(value, str | bytes))


def ingest_page(
    held: psycopg.Connection,
    source: str,
    page: Sequence[Mapping[str, Any] | Unusable],
    run_id: str | None,
    now: datetime,
) -> Accounting:
    """Keep a page of decisions in the caller's transaction. Raises: as `Newest.keep`."""
    return DECISIONS.keep(held, source, page, run_id, now)
