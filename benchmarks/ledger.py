"""The nightly reward and the load in figures, per CPU-second of this process and of PostgreSQL together.

One million decisions in the store's own table; the usual ways, which write into the app's wide table with its eight indexes,
on fewer rows, since their cost a row does not fall with more. An embedded PostgreSQL of its own, with autovacuum off, so
that it does not fall on one side alone. `--quick` takes fewer rows of everything.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from psycopg import sql

from benchmarks import app_decisions
from benchmarks.cpu import cpu_seconds
from benchmarks.figures import Figure, report
from benchmarks.logged_decisions import Logged, logged_decisions
from core.reward import RewardSpec, Scorer
from core.store import reward_page, server
from core.store.bulk import copy_in
from core.store.engine import connection, engine
from core.store.migrate import migrate
from core.store.nights import reward_night
from core.store.registry import record_run

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


QUICK = Size(decisions=60_000, row_by_row=1_000, objects=10_000, loaded=10_000)


def main() -> int:
    """Print the figures; exit 1 when one falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    size = QUICK if parser.parse_args().quick else Size()
    with tempfile.TemporaryDirectory(prefix="overnight-benchmark-") as folder:
        Path(folder).chmod(0o755)  # as root, the embedded PostgreSQL runs as another user
        os.environ["OVERNIGHT_HOME"] = folder
        os.environ.pop("OVERNIGHT_DATABASE_URL", None)
        migrate()
        _set_up()
        try:
            return report(_measured(size))
        finally:
            engine().dispose()
            server.stop()


def _set_up() -> None:
    with connection() as held:
        held.commit()
        held.autocommit = True
        held.execute("ALTER SYSTEM SET autovacuum = off")
        held.execute("SELECT pg_reload_conf()")
        held.autocommit = False
    record_run(
        run_id="benchmark",
        use_case="desk",
        preset="default",
        config_digest="",
        code_revision="",
        config={},
    )


def _measured(size: Size) -> Iterator[Figure]:
    yield _load(size)
    objects = _usual("objects", size.objects)
    row_by_row = _usual("row by row", size.row_by_row)
    _fill(size.decisions)
    floor = cpu_seconds(_floor) / size.decisions
    whole = cpu_seconds(lambda: _night(0, size.decisions))
    ours = whole / size.decisions
    what = f"nightly reward of {size.decisions:,} decisions in pages of {reward_page.PAGE:,}"
    yield _times(
        f"{what}: rows per CPU-second",
        row_by_row,
        ours,
        35,
        f"an UPDATE and a commit a row ({size.row_by_row:,} rows)",
    )
    yield _times(
        f"{what}: rows per CPU-second",
        objects,
        ours,
        8,
        f"SQLModel objects, a commit every 5,000 ({size.objects:,} rows)",
    )
    against = f"read, compute, COPY out and nothing else ({1e6 * floor:.1f} CPU-µs a row to {1e6 * ours:.1f})"
    yield Figure(f"{what}: CPU time", ours / floor, "x", 2.2, against, at_most=True)
    yield _cheaper("nothing new", whole, cpu_seconds(lambda: _night(1, 0)))
    news = _news()
    yield _cheaper(f"news of {news:,} decisions", whole, cpu_seconds(lambda: _night(2, news)))


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
    return _times(f"load of {size.loaded:,} decisions by COPY", spent[1], spent[0], 6, "ORM add_all")


def _usual(way: str, count: int) -> float:
    """CPU-seconds a row of a usual way to write rewards, in the app's own table."""
    app_decisions.make_table()
    app_decisions.load_by_copy(logged_decisions(count + 100))
    _tidy('"Decision"')
    reward = app_decisions.reward_objects if way == "objects" else app_decisions.reward_row_by_row
    return cpu_seconds(lambda: reward(count, SPEC)) / count


def _fill(count: int) -> None:
    columns = ("source", *Logged._fields, "updated_at")
    kinds = {"confidence": "float8", "created_at": "timestamptz", "updated_at": "timestamptz",
             **dict.fromkeys(("state", "action", "components"), "jsonb")}  # fmt: skip
    rows = (("app", *row, row.created_at) for row in logged_decisions(count))
    with connection() as held:
        held.execute('DROP TABLE "Decision"')
        copy_in(held, "decisions", columns, [kinds.get(column, "text") for column in columns], rows)
    _tidy("overnight.decisions")


def _tidy(table: str) -> None:
    with connection() as held:
        held.commit()
        held.autocommit = True
        held.execute(f"VACUUM ANALYZE {table}")
        held.execute("CHECKPOINT")
        held.autocommit = False


def _floor() -> None:
    """What can't be left out: every row read once, scored, and copied into a table without keys."""
    ledger = reward_page.Ledger("desk", 0, Scorer(SPEC), datetime(2027, 1, 1, tzinfo=UTC))
    query = """
        SELECT number, revision, agent_type, feedback, false, components::text, created_at, outcome_at, false
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


def _night(after: int, expected: int) -> None:
    as_of = datetime.combine(NIGHT, datetime.min.time(), UTC)
    night = reward_night("desk", SPEC, NIGHT + timedelta(days=after), as_of, run_id="benchmark")
    if night is None or night.work.accounting.written != expected:
        raise RuntimeError(f"the night wrote {night and night.work.accounting}, not {expected}")


def _news() -> int:
    """Every so many decisions, one whose outcome came late."""
    query = """
        UPDATE overnight.decisions SET revision = revision + 1, outcome_at = now(),
            components = components || '{"immediate": {"userFeedback": 0.125, "userAcceptance": 0.125}}'
        WHERE number %% %s = 0
    """
    with connection() as held:
        return held.execute(query, (EVERY,)).rowcount


if __name__ == "__main__":
    sys.exit(main())
