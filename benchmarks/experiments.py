"""What an experiment's verdict is worth: simulated users whose arms are alike or differ, looked at on every night.

Users come one by one and stay; their own up-rates differ, and how much they rate differs far more (lognormal, with a
standard deviation of 2 in logarithms: few give most of the thumbs). Then a million ratings out of a store of its own.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, report
from benchmarks.own_store import SOURCE, own_store
from core.experiment import Arm, ExperimentSettings
from core.experiment.run import ExperimentRun, analyse_ratings
from core.statistics import (
    ClusterRates,
    ClusterTrials,
    Estimated,
    always_valid_p_value,
    goodness_of_fit,
    mean_rate,
    pooled_rate,
)
from core.store.engine import connection

Counts = NDArray[np.int64]
NIGHTS, USERS, RATE, SCALE, ALPHA = 60, 600, 0.6, 0.05, 0.05
GAIN = 0.1
RATINGS = """
    INSERT INTO overnight.ratings (source, entry_id, rater_id, rating, model_version, rated_at)
    SELECT %(source)s, n, 'user ' || n %% (%(count)s / 5), CASE WHEN n %% 3 = 0 THEN 'down' ELSE 'up' END,
        'm' || n %% (%(count)s / 5) %% 2, timestamptz '2026-11-01 12:00+00' + n %% 7 * interval '1 day'
    FROM generate_series(1, %(count)s) n
"""


class Seen(NamedTuple):
    """What one simulated experiment told: by users who count once on every night, and by pooled ratings on the last."""

    sequence: bool
    """Some night's sequence excluded zero."""
    plain: bool
    """Some night's plain 95 % interval did."""
    last: bool
    """The last night's plain interval did."""
    pooled: bool
    """The last night's interval of ups by ratings did."""
    mismatch: bool
    """Some night's users did not fit the shares."""


def simulated(random: np.random.Generator, gain: float) -> Seen:
    """One experiment of two equal arms, of which the one's users are better served by `gain`."""
    ours = random.random(USERS) < 0.5
    mean = np.where(ours, RATE + gain, RATE)
    arrives, pace = random.integers(0, NIGHTS, USERS), 0.3 * random.lognormal(0, 2, USERS)
    trials = random.poisson(pace * (np.arange(NIGHTS)[:, None] >= arrives))
    ups = random.binomial(trials, random.beta(4 * mean, 4 * (1 - mean))).cumsum(0)
    trials = trials.cumsum(0)
    apart = [_apart(trials[night], ups[night], ours) for night in range(NIGHTS)]
    plain = [not each.interval(ALPHA).holds(0.0) for each in apart]
    crossed = (always_valid_p_value(each.value, each.variance, SCALE) < ALPHA for each in apart)
    users = ((int((seen & ours).sum()), int((seen & ~ours).sum())) for seen in trials > 0)
    broken = any(goodness_of_fit(each).p_value < 0.001 for each in users if min(each) >= 5)
    pooled = _pooled(trials[-1][ours], ups[-1][ours]).minus(_pooled(trials[-1][~ours], ups[-1][~ours]))
    return Seen(any(crossed), any(plain), plain[-1], not pooled.interval(ALPHA).holds(0.0), broken)


def _apart(trials: Counts, ups: Counts, ours: NDArray[np.bool_]) -> Estimated:
    return _mean(trials[ours], ups[ours]).minus(_mean(trials[~ours], ups[~ours]))


def _mean(trials: Counts, ups: Counts) -> Estimated:
    own = ups[trials > 0] / trials[trials > 0]
    return mean_rate(ClusterRates(len(own), float(own.sum()), float((own**2).sum())))


def _pooled(trials: Counts, ups: Counts) -> Estimated:
    sums = ClusterTrials()
    for each in zip(trials.tolist(), ups.tolist(), strict=True):
        sums = sums.plus(*each) if each[0] else sums
    return pooled_rate(sums)


def rates(count: int, gain: float) -> Sequence[float]:
    """How many in a hundred simulated experiments told each thing."""
    random = np.random.default_rng(9)
    return [float(100 * rate) for rate in np.mean([simulated(random, gain) for _ in range(count)], axis=0)]


def level_and_power(count: int) -> Iterator[Figure]:
    """Of arms that are alike, and of arms ten points apart."""
    how = f"{count} experiments of {NIGHTS} nights, {USERS} users"
    sequence, plain, last, pooled, mismatch = rates(count, 0.0)
    told = (
        f"{how}, no difference; a plain 95 % interval: {plain:.1f} % on some night, {last:.1f} % on the last"
    )
    yield Figure("a difference found on some night where there is none", sequence, "%", 5, told, at_most=True)
    yield Figure("a mismatch found on some night where there is none", mismatch, "%", 3, how, at_most=True)
    sequence, plain, last, with_pooled, _ = rates(count, GAIN)
    told = f"{how}; ups by ratings at one look: {with_pooled:.1f} % (and {pooled:.1f} % where there is none)"
    yield Figure("a difference of 10 points found, any night", sequence, "%", 60, told)
    yield Figure("a difference of 10 points found, one look at users", last, "%", 80, told)


def a_store(count: int) -> Iterator[Figure]:
    """Time and memory of an analysis that reads this many ratings."""
    arms = tuple(Arm(name=name, share=0.5, model=name) for name in ("m0", "m1"))
    run = ExperimentRun(id="benchmark", source=SOURCE, experiment=ExperimentSettings(name="tone", arms=arms))
    with own_store("experiment"):
        with connection() as held:
            held.execute(RATINGS, {"source": SOURCE, "count": count})
        before, started = _megabytes(), time.monotonic()
        found = analyse_ratings(run, datetime(2027, 1, 1, tzinfo=UTC))
        seconds, grown = time.monotonic() - started, _megabytes() - before
    told = f"{sum(arm.ratings for arm in found.arms):,} ratings of {found.users:,} users"
    yield Figure("an experiment's analysis", seconds, "s", 60 * count / 1e6 + 5, told, at_most=True)
    yield Figure("memory it adds to the process", grown, "MB", 100, told, at_most=True)


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> int:
    """Measure, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 experiments, not 1,000; 50,000 ratings")
    quick = parser.parse_args().quick
    return report([*a_store(50_000 if quick else 1_000_000), *level_and_power(200 if quick else 1_000)])


if __name__ == "__main__":
    sys.exit(main())
