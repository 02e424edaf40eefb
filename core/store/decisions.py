"""Decisions into the store: in pages, each read, held against what is there, and committed or not at all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from core.accounting import Accounting
from core.decision import COLUMNS, DOCUMENTS, TIMES, read_decision
from core.store.engine import connection
from core.store.newest import Newest
from core.store.pages import letters, pages
from core.store.quarantine import Unusable
from core.store.stale import mark_stale

TYPES = (
    dict.fromkeys(COLUMNS, "text")
    | dict.fromkeys(DOCUMENTS, "json")
    | dict.fromkeys(TIMES, "timestamptz")
    | {"step": "int4", "confidence": "float8"}
)


def _forget_rewards(held: psycopg.Connection, numbers: list[int]) -> None:
    """Of decisions that are gone; the snapshots that hold them are stale."""
    specs = [spec for (spec,) in held.execute("SELECT number FROM overnight.reward_specs")]
    for spec in specs:
        mark_stale(held, spec, numbers)
    query = "DELETE FROM overnight.rewards WHERE spec = ANY (%s) AND subject = ANY (%s)"
    held.execute(query, (specs, numbers))


DECISIONS = Newest("decisions", read_decision, TYPES, followed=_forget_rewards)


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


def ingest_page(
    held: psycopg.Connection,
    source: str,
    page: Sequence[Mapping[str, Any] | Unusable],
    run_id: str | None,
    now: datetime,
) -> Accounting:
    """Keep a page of decisions in the caller's transaction. Raises: as `Newest.keep`."""
    return DECISIONS.keep(held, source, page, run_id, now)
