"""The widget ratings in figures: what making pairs of a million thumbs takes, and how much of the raters' taste DPO learns.

In an embedded PostgreSQL of its own; the rows are made in a process of their own, whose peak memory is told. `--quick` takes
fewer ratings, and trains nothing.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.figures import Figure, report
from benchmarks.learnt_taste import taste_figures
from benchmarks.own_store import own_store, tidy
from core.config import load_config
from core.store.bulk import copy_in
from core.store.engine import connection
from core.store.ratings import ingest_entries
from core.use_cases.widget_ratings import WIDGET_RATINGS
from core.use_cases.widget_ratings.config import SIMULATED, SimulationSettings, WidgetRatingsConfig
from core.use_cases.widget_ratings.simulation import entry_rows

AT = datetime(2026, 11, 1, tzinfo=UTC)
TYPES = ("text", "text", "text", "text", "jsonb", "timestamptz")
COLUMNS = ("source", "entry_id", "rater_id", "rating", "tags", "rated_at")
SHOWN = ('["clear"]', '["too-small", "cluttered"]', "[]", '["unsure"]')


@dataclass(frozen=True, slots=True)
class Size:
    """How many ratings, of how many questions in each of twelve scenarios."""

    ratings: int = 1_000_000
    questions: int = 100
    seconds: float = 60
    megabytes: float = 1_000


QUICK = Size(ratings=100_000, questions=20, seconds=20)


@dataclass(frozen=True, slots=True)
class Made:
    """What making the pairs took."""

    pairs: int
    prompts: int
    seconds: float
    megabytes: float


def main() -> int:
    """Print the figures; exit 1 when one falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()
    return report(_measured(size) if arguments.quick else chain(_measured(size), _learnt()))


def _measured(size: Size) -> Iterator[Figure]:
    with own_store("widget_ratings") as folder, ProcessPoolExecutor(1, get_context("spawn")) as pool:
        _fill(size)
        made = pool.submit(_make, folder).result()
    what = f"{made.pairs:,} pairs from {size.ratings:,} ratings, {made.prompts:,} prompts without one"
    yield Figure(f"{what}: time", made.seconds, "s", size.seconds, "wall clock, two cores", at_most=True)
    yield Figure(f"{what}: memory", made.megabytes, "MB", size.megabytes, "the process's peak", at_most=True)


def _learnt() -> Iterator[Figure]:
    with own_store("widget_ratings") as folder:
        yield from taste_figures(folder)


def _make(folder: Path) -> Made:
    """Rows, rewards, and the groups of both methods."""
    config, started = _config(), time.perf_counter()
    votes = WIDGET_RATINGS.collect(config, folder / "votes", lambda _share, _words: None)
    rewards = WIDGET_RATINGS.reward(config, votes, folder / "rewards", lambda _share, _words: None)
    pairs, rest = (
        WIDGET_RATINGS.groups(config, method, rewards, folder / method) for method in ("dpo", "kto")
    )
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return Made(pairs.notes["pairs"], rest.counts["rows"], seconds, peak)


def _config() -> WidgetRatingsConfig:
    return load_config(WidgetRatingsConfig, "widget_ratings", "default", {"votes.max_buffer_size": None})


def _fill(size: Size) -> None:
    for _ in ingest_entries(SIMULATED, entry_rows(SimulationSettings(questions=size.questions))):
        pass
    with connection() as held:
        names = [name for (name,) in held.execute("SELECT entry_id FROM overnight.rated_entries ORDER BY 1")]
        copy_in(held, "ratings", COLUMNS, TYPES, _ratings(names, size.ratings))
    tidy("overnight.ratings")
    tidy("overnight.rated_entries")


def _ratings(entries: list[str], count: int) -> Iterator[tuple[Any, ...]]:
    """Each of many raters rates an entry once."""
    draw = Random(7)
    for number in range(count):
        entry, rater = entries[number % len(entries)], f"rater-{number // len(entries)}"
        thumb = "up" if draw.random() < 0.4 else "down"
        yield SIMULATED, entry, rater, thumb, draw.choice(SHOWN), AT + timedelta(seconds=number)


if __name__ == "__main__":
    sys.exit(main())
