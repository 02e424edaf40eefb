"""Rates of things that come in clusters, such as the ratings of a user: what one cluster does is one piece of luck.

Both estimates are smoothed by two clusters that nobody saw, one of nothing but successes and one of none, so that an
interval never vanishes and keeps its coverage near 0 and 1 (Agresti & Caffo 2000, The American Statistician 54:280).
"""

import math
from typing import NamedTuple, Self

from core.errors import DataError
from core.statistics.normal import t_quantile
from core.statistics.results import Interval


class ClusterRates(NamedTuple):
    """Clusters that count once each: how many, the sum of their own rates (each in [0, 1]), and of the rates' squares."""

    clusters: int = 0
    total: float = 0.0
    squares: float = 0.0

    def and_also(self, other: Self) -> Self:
        """Of both together."""
        return type(self)(
            self.clusters + other.clusters, self.total + other.total, self.squares + other.squares
        )

    def without(self, other: Self) -> Self:
        """Of these, but not of the others."""
        return type(self)(
            self.clusters - other.clusters, self.total - other.total, self.squares - other.squares
        )

    @property
    def mean(self) -> float | None:
        """The mean rate; None without clusters."""
        return self.total / self.clusters if self.clusters else None


class ClusterTrials(NamedTuple):
    """Clusters that count by their trials: sums over them, and over their squares and products."""

    clusters: int = 0
    trials: int = 0
    successes: int = 0
    trials_squared: int = 0
    both: int = 0
    """Trials times successes."""
    successes_squared: int = 0

    def plus(self, trials: int, successes: int) -> Self:
        """With one more cluster."""
        return type(self)(
            self.clusters + 1,
            self.trials + trials,
            self.successes + successes,
            self.trials_squared + trials**2,
            self.both + trials * successes,
            self.successes_squared + successes**2,
        )


class Estimated(NamedTuple):
    """A smoothed estimate, its variance and the degrees of freedom of that."""

    value: float
    variance: float
    freedom: float

    def minus(self, other: Self) -> Self:
        """The difference of two independent ones; its degrees of freedom by Welch 1947, Biometrika 34:28."""
        variance = self.variance + other.variance
        parts = self.variance**2 / self.freedom + other.variance**2 / other.freedom
        return type(self)(self.value - other.value, variance, variance**2 / parts)

    def interval(self, alpha: float = 0.05) -> Interval:
        """The t interval."""
        half = t_quantile(1 - alpha / 2, max(1, int(self.freedom))) * math.sqrt(self.variance)
        return Interval(low=self.value - half, high=self.value + half)


def mean_rate(rates: ClusterRates) -> Estimated:
    """The mean of the clusters' own rates, each cluster counted once: as sure as there are clusters, whoever is busy."""
    count, total, squares = rates.and_also(ClusterRates(2, 1.0, 1.0))
    variance = (squares - total**2 / count) / (count - 1) / count
    return Estimated(total / count, variance, count - 1)


def pooled_rate(sums: ClusterTrials) -> Estimated:
    """Successes by trials over all clusters, with the variance that a few busy clusters make.

    A ratio of means (Cochran 1977, Sampling Techniques, ch. 6; Deng et al. 2018, arXiv:1803.06336, the delta method).
    The two clusters added are as large as that of a trial drawn at random, and as many clusters count as would be there
    if all were that large (Kish 1965, Survey Sampling, ch. 8). Raises: DataError without trials.
    """
    if sums.trials == 0:
        raise DataError("a rate needs at least one trial")
    size = sums.trials_squared / sums.trials
    clusters, trials = sums.clusters + 2, sums.trials + 2 * size
    trials_squared = sums.trials_squared + 2 * size**2
    rate = (sums.successes + size) / trials
    both, successes_squared = sums.both + size**2, sums.successes_squared + size**2
    apart = successes_squared - 2 * rate * both + rate**2 * trials_squared
    variance = clusters / (clusters - 1) * apart / trials**2
    return Estimated(rate, variance, trials**2 / trials_squared - 1)


def within_unit(interval: Interval) -> Interval:
    """The part of an interval that a rate can lie in."""
    return Interval(low=max(0.0, interval.low), high=min(1.0, interval.high))
