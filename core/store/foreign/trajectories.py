"""Trajectories, model calls and market outcomes from an app's own tables into the store: what changed since the last time,
and what is still awaited.

The watermark of trajectories (`updatedAt`) sees whatever the app's own client changes, a judgement among it. It does not see
what is written past that client, so that trajectories without a judgement, and those that had not ended, are read again by
their ids for some days. Model calls are logged once, and outcomes are only ever added: their watermark is `createdAt`, and
what is read again are outcomes that have no end yet. A trajectory that an app lets be trained on only later, or no longer, is
seen by its watermark alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from core.accounting import Accounting
from core.outcome import OUTCOME_CALLED, OUTCOME_NEEDED
from core.store.foreign.reading import reading
from core.store.foreign.settings import TrajectorySettings
from core.store.foreign.shape import Shape
from core.store.newest import EVALUATION, OPTED_IN, Newest
from core.store.trajectories import CALLS, OUTCOMES, TRAJECTORIES
from core.trajectory import CALL_CALLED, CALL_NEEDED, PROMPTS, TRAJECTORY_CALLED, TRAJECTORY_NEEDED

UNJUDGED = """
    SELECT number, external_id FROM overnight.trajectories
    WHERE source = %(source)s AND number > %(after)s AND judge_reward IS NULL AND ended_at > %(awaited_since)s
    ORDER BY number LIMIT %(limit)s
"""
UNFINISHED = """
    SELECT min(number), external_id FROM overnight.quarantine
    WHERE source = %(source)s AND reason = 'unfinished' AND released_at IS NULL AND created_at > %(awaited_since)s
    GROUP BY external_id HAVING min(number) > %(after)s ORDER BY 1 LIMIT %(limit)s
"""
OPEN = """
    SELECT number, external_id FROM overnight.market_outcomes
    WHERE source = %(source)s AND number > %(after)s AND {market} IS NOT NULL AND {end} IS NULL
        AND window_start > %(awaited_since)s
    ORDER BY number LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class AppTable:
    """One of the tables: what is read of it, where it is kept, and which rows wait for a column's value."""

    name: str
    shape: Shape
    kept: Newest[Any]
    awaited: Mapping[str, LiteralString] = field(default_factory=dict)
    """A column that may come late to a query of the ids that lack it."""


def _shape(
    kept: Newest[Any],
    needed: tuple[str, ...],
    called: Mapping[str, tuple[str, ...]],
    *more: str,
    derived: tuple[str, ...] = (),
) -> Shape:
    """All columns that are kept but those `derived` from others, and `more` that are only read."""
    kept_there = (name for name in kept.types if name not in needed and name not in derived)
    return Shape(needed=needed, optional=(*kept_there, *more), also_called=called)


TABLES = {
    "trajectories": AppTable(
        "trajectories",
        _shape(
            *(TRAJECTORIES, TRAJECTORY_NEEDED, TRAJECTORY_CALLED, OPTED_IN, EVALUATION),
            derived=("window_start",),
        ),
        TRAJECTORIES,
        {"judge_reward": UNJUDGED, "ended_at": UNFINISHED},
    ),
    "calls": AppTable("model calls", _shape(CALLS, CALL_NEEDED, CALL_CALLED, *PROMPTS, "step_id"), CALLS),
    "outcomes": AppTable(
        "market outcomes",
        _shape(OUTCOMES, OUTCOME_NEEDED, OUTCOME_CALLED),
        OUTCOMES,
        {
            "answer": OPEN.format(market="question_id", end="answer"),
            "end_price": OPEN.format(market="ticker", end="end_price"),
        },
    ),
}


def import_table(
    settings: TrajectorySettings, section: str, *, run_id: str | None = None, now: datetime | None = None
) -> Iterator[Accounting]:
    """Keep what is new or changed in one of an app's tables, page by page; what became of each page's rows.

    A page and how far it came are one transaction, so that a run that was killed goes on after its last page. Raises:
    ConfigError, SourceError, StoreError, BusyError when another run reads the same table.
    """
    source, table, moment = settings.of(section), TABLES[section], now or datetime.now(UTC)
    since = moment - timedelta(days=settings.awaited_days)
    name = f"{table.name} of {source.name}"
    with reading(source, table.shape, name, table.kept.keep, run_id=run_id, now=moment) as read:
        yield from read.changed()
        for column, query in table.awaited.items():
            if column in read.opened.columns:
                yield from read.awaited(query, {"source": source.name, "awaited_since": since})
