"""The nightly reward and the load in figures, per CPU-second of this process and of PostgreSQL together.

One million decisions in the store's own table, and the same in the app's wide table with its eight indexes, where the usual
ways write; they are given fewer of its rows, since their cost a row does not fall with more. An embedded PostgreSQL of its
own, with autovacuum off, so that it does not fall on one side alone. `--quick` takes fewer rows of everything, on which the
usual ways are cheaper, and has targets of its own.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psutil
from psycopg import sql

from benchmarks import app_decisions
from benchmarks.cpu import cpu_seconds
from benchmarks.figures import Figure, report
from benchmarks.logged_decisions import logged_decisions
from benchmarks.own_store import RUN, fill, own_store, tidy
from core.accounting import Accounting
from core.reward import RewardSpec, Scorer
from core.store import reward_page
from core.store.bulk import copy_in
from core.store.engine import connection
from core.store.ledger import Told
from core.store.nights import reward_night

SPEC = RewardSpec(version="1")
NIGHT = date(2027, 1, 1)
"""After every deadline."""
EVERY = 200
"""One decision in so many has news: 0.5 %."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows each way is given."""

    decisions: int = 1_000_000
    row_by_row: int = 5_000
    objects: int = 100_000
    loaded: int = 50_000
    at_least: tuple[float, float, float] = (35, 8, 6)
    """How many times cheaper than row by row, objects, and loading objects."""


QUICK = Size(decisions=60_000, row_by_row=1_000, objects=10_000, loaded=10_000, at_least=(12, 5, 4))


def main() -> int:
    """Print the figures; exit 1 when one falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    size = QUICK if parser.parse_args().quick else Size()
    with own_store("desk"):
        return report(_measured(size))


def _measured(size: Size) -> Iterator[Figure]:
    """Ours first: what the others leave in memory is not counted as ours."""
    fill(size.decisions)
    memory = _Memory()
    whole = cpu_seconds(lambda: _night(0, size.decisions, memory.look))
    nothing = cpu_seconds(lambda: _night(1, 0))
    news = _news()
    little = cpu_seconds(lambda: _night(2, news))
    floor = cpu_seconds(_floor) / size.decisions
    ours = whole / size.decisions
    what = f"nightly reward of {size.decisions:,} decisions in pages of {reward_page.PAGE:,}"
    yield Figure(
        f"{what}: CPU time",
        ours / floor,
        "x",
        2.2,
        f"read, compute, COPY out and nothing else ({1e6 * floor:.1f} CPU-µs a row to {1e6 * ours:.1f})",
        at_most=True,
    )
    yield Figure(
        f"{what}: memory at its highest",
        memory.highest_mb,
        "MB",
        250,
        "the whole process, after every page",
        at_most=True,
    )
    yield _cheaper("nothing new", whole, nothing)
    yield _cheaper(f"news of {news:,} decisions", whole, little)
    yield _load(size)
    row_by_row, objects = _usual_ways(size)
    one_by_one = f"an UPDATE and a commit a row ({size.row_by_row:,} rows)"
    yield _times(f"{what}: rows per CPU-second", row_by_row, ours, size.at_least[0], one_by_one)
    orm = f"SQLModel objects, a commit every {app_decisions.OBJECTS:,} ({size.objects:,} rows)"
    yield _times(f"{what}: rows per CPU-second", objects, ours, size.at_least[1], orm)


def _times(figure: str, theirs: float, ours: float, target: float, against: str) -> Figure:
    words = f"{against}: {1e6 * theirs:.1f} CPU-µs a row to {1e6 * ours:.1f}"
    return Figure(figure, theirs / ours, "x", target, words)


def _cheaper(name: str, whole: float, spent: float) -> Figure:
    return Figure(
        f"a night with {name}", whole / spent, "x", 5, f"the first night ({whole:.1f} CPU-s to {spent:.2f})"
    )


def _load(size: Size) -> Figure:
    """The same rows into the same empty table; a hundred first, so that nobody pays for what happens once."""
    rows = list(logged_decisions(size.loaded))
    spent = []
    for load in (app_decisions.load_by_copy, app_decisions.load_objects):
        app_decisions.make_table()
        load(rows[:100])
        spent.append(cpu_seconds(lambda load=load: load(rows[100:])) / len(rows[100:]))  # type: ignore[misc]
    return _times(
        f"load of {size.loaded:,} decisions by COPY", spent[1], spent[0], size.at_least[2], "ORM add_all"
    )


def _usual_ways(size: Size) -> tuple[float, float]:
    """CPU-seconds a row of the usual ways to write rewards, one after the other in the app's own table."""
    app_decisions.make_table()
    app_decisions.load_by_copy(logged_decisions(size.decisions))
    tidy('"Decision"')
    row_by_row = cpu_seconds(lambda: app_decisions.reward_row_by_row(size.row_by_row, SPEC))
    objects = cpu_seconds(lambda: app_decisions.reward_objects(size.objects, SPEC))
    return row_by_row / size.row_by_row, objects / size.objects


def _floor() -> None:
    """What can't be left out: every row read once, scored, and copied into a table without keys."""
    ledger = reward_page.Ledger("desk", 0, Scorer(SPEC), datetime(2027, 1, 1, tzinfo=UTC))
    query = """
        SELECT number, revision, agent_type, feedback, false, components::text, created_at, outcome_at, NULL, NULL
        FROM overnight.decisions
    """
    with connection() as reading, connection() as writing:
        writing.execute("CREATE TEMPORARY TABLE floor AS SELECT * FROM overnight.rewards LIMIT 0")
        with reading.cursor("floor", binary=True) as cursor:
            cursor.itersize = reward_page.FETCHED
            cursor.execute(query)
            while rows := cursor.fetchmany(reward_page.PAGE):
                scored = reward_page.score_rows(ledger, iter(rows))
                copy_in(
                    writing, sql.Identifier("floor"), reward_page.COLUMNS, reward_page.TYPES, scored.first
                )


class _Memory:
    """The most that this process held whenever it was looked at."""

    def __init__(self) -> None:
        self.highest_mb = 0.0

    def look(self, _accounting: Accounting) -> None:
        self.highest_mb = max(self.highest_mb, psutil.Process().memory_info().rss / 1e6)


def _night(after: int, expected: int, told: Told | None = None) -> None:
    as_of = datetime.combine(NIGHT, datetime.min.time(), UTC)
    night = reward_night("desk", SPEC, NIGHT + timedelta(days=after), as_of, run_id=RUN, told=told)
    if night is None or night.work.accounting.written != expected:
        raise RuntimeError(f"the night wrote {night and night.work.accounting}, not {expected}")


def _news() -> int:
    """Every so many decisions, one whose outcome came late."""
    query = """
        UPDATE overnight.decisions SET revision = revision + 1, outcome_at = now(),
            components = components::jsonb || '{"immediate": {"userFeedback": 0.125, "userAcceptance": 0.125}}'
        WHERE number %% %s = 0
    """
    with connection() as held:
        return held.execute(query, (EVERY,)).rowcount


if __name__ == "__main__":
    sys.exit(main())
