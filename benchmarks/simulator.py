"""The draft simulator: its speed, its memory, and that its results are those of the leagues alone.

CPU-seconds of one thread, best of the repeats; memory is the peak of a process that does nothing else.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.figures import Figure, report
from core.use_cases.fantasy_draft.draft import Draft
from core.use_cases.fantasy_draft.league import Tournament, play
from core.use_cases.fantasy_draft.policies import Policy, greedy_vor, vona
from core.use_cases.fantasy_draft.rules import Ints
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers

SEED = 20_000
LEAGUES, SEASONS = 1_000, 16
CHUNKS = (96, 480, 960)
MEMORY_PROGRAM = f"""
import resource
from core.use_cases.fantasy_draft.league import play
from core.use_cases.fantasy_draft.policies import vona
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers
play(vona, {LEAGUES}, {SEASONS}, {SEED}, SyntheticPlayers())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
"""


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """The fewest CPU-seconds that the work took."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def _play(policy: Policy, seasons: int, leagues: int = LEAGUES, chunk: int = CHUNKS[-1]) -> Tournament:
    return play(policy, leagues, seasons, SEED, SyntheticPlayers(), chunk=chunk)


def _speed(repeats: int) -> list[Figure]:
    _play(vona, 1, leagues=96)
    simple = LEAGUES / cpu_seconds(lambda: _play(greedy_vor, 1), repeats)
    clever = LEAGUES / cpu_seconds(lambda: _play(vona, 1), repeats)
    many = cpu_seconds(lambda: _play(vona, SEASONS), repeats)
    return [
        Figure("leagues a CPU-second, greedy VOR", simple, "1/s", 1_500, "draft and one season"),
        Figure("leagues a CPU-second, VONA", clever, "1/s", 1_500, "draft and one season"),
        Figure(f"{LEAGUES} leagues x {SEASONS} seasons", many, "CPU-s", 4.0, "VONA", at_most=True),
    ]


def _memory() -> Figure:
    done = subprocess.run([sys.executable, "-c", MEMORY_PROGRAM], check=True, capture_output=True, text=True)
    what = f"peak memory of {LEAGUES} leagues x {SEASONS} seasons"
    return Figure(what, float(done.stdout), "MB", 300, "a process of its own, imports included", at_most=True)


def _apart(one: Tournament, other: Tournament, leagues: slice = slice(None)) -> int:
    """How many picks and season results differ in these leagues."""
    pairs = [(one.picks_L_R, other.picks_L_R)] + [
        (getattr(one.simulated, name), getattr(other.simulated, name))
        for name in ("titles_L_K", "playoffs_L_K", "wins_L_K", "points_above_mean_L_K", "champion_seats_L_K")
    ]
    return sum(int(np.sum(a[leagues] != b[leagues])) for a, b in pairs)


def _by_turns(draft: Draft, leagues: Ints) -> Ints:
    """VONA in every second league, greedy VOR in the others."""
    return np.where(leagues % 2 == 0, vona(draft, leagues), greedy_vor(draft, leagues))


def _invariance() -> list[Figure]:
    leagues = CHUNKS[-1]
    vona_plays, vor_plays = _play(vona, 2, leagues), _play(greedy_vor, 2, leagues)
    chunks = sum(_apart(vona_plays, _play(vona, 2, leagues, chunk)) for chunk in CHUNKS[:-1])
    mixed = _play(_by_turns, 2, leagues)
    strangers = _apart(mixed, vona_plays, slice(0, None, 2)) + _apart(mixed, vor_plays, slice(1, None, 2))
    shared = np.corrcoef(vona_plays.simulated.titles_L_K.ravel(), vor_plays.simulated.titles_L_K.ravel())[
        0, 1
    ]
    told = f"chunks of {', '.join(map(str, CHUNKS[:-1]))} against {CHUNKS[-1]}"
    return [
        Figure("results that change with the chunk size", chunks, "", 0, told, at_most=True),
        Figure(
            "results that change when other leagues are drafted otherwise",
            strangers,
            "",
            0,
            "two policies by turns",
            at_most=True,
        ),
        Figure("correlation of titles of VONA and greedy VOR", shared, "", 0.1, "common random numbers"),
    ]


def main() -> int:
    """Measure, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two repeats instead of five")
    repeats = 2 if parser.parse_args().quick else 5
    return report([*_speed(repeats), _memory(), *_invariance()])


if __name__ == "__main__":
    sys.exit(main())
