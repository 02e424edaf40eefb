"""Proportions: intervals for one and for two, and the tests on their counts."""

from collections.abc import Sequence

import numpy as np

from core.errors import DataError
from core.statistics.normal import normal_quantile
from core.statistics.results import HypothesisTest, Interval

SMALLEST_EXPECTED = 5.0
"""Below this expected count the chi-squared distribution is not to be trusted (Cochran 1954)."""


def wilson_interval(successes: int, trials: int, alpha: float = 0.05) -> Interval:
    """The score interval of one proportion (Wilson 1927), without continuity correction.

    No trials give [0, 1].
    """
    _check(successes, trials)
    if trials == 0:
        return Interval(low=0.0, high=1.0)
    z = normal_quantile(1 - alpha / 2)
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = np.sqrt(rate * (1 - rate) * spread + spread**2 / 4) / (1 + spread)
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == trials else float(centre + half)
    return Interval(low=low, high=high)


def newcombe_interval(
    successes: int, trials: int, other_successes: int, other_trials: int, alpha: float = 0.05
) -> Interval:
    """The interval of the difference of two independent proportions.

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10. An empty arm gives [-1, 1].
    """
    first = wilson_interval(successes, trials, alpha)
    second = wilson_interval(other_successes, other_trials, alpha)
    if trials == 0 or other_trials == 0:
        return Interval(low=-1.0, high=1.0)
    rate, other_rate = successes / trials, other_successes / other_trials
    below = np.hypot(rate - first.low, second.high - other_rate)
    above = np.hypot(first.high - rate, other_rate - second.low)
    return Interval(low=float(rate - other_rate - below), high=float(rate - other_rate + above))


def chi_squared(successes: int, trials: int, other_successes: int, other_trials: int) -> HypothesisTest:
    """Pearson's test of two independent proportions, without continuity correction.

    Fisher's exact test takes over when an expected count is below 5, and `method` says so. Nothing
    but successes, or nothing but failures, gives p = 1.
    """
    from scipy import stats  # noqa: PLC0415  (a second and 50 MB, which few runs need)

    _check(successes, trials)
    _check(other_successes, other_trials)
    table = np.array(
        [[successes, trials - successes], [other_successes, other_trials - other_successes]], dtype=np.float64
    )
    rows, columns, total = table.sum(1), table.sum(0), table.sum()
    if not (rows.all() and columns.all()):
        return HypothesisTest(method="none (one outcome only)", statistic=None, p_value=1.0)
    expected = np.outer(rows, columns) / total
    if expected.min() < SMALLEST_EXPECTED:
        return HypothesisTest(
            method="Fisher exact", statistic=None, p_value=float(stats.fisher_exact(table.astype(int)).pvalue)
        )
    statistic = float(((table - expected) ** 2 / expected).sum())
    return HypothesisTest(
        method="chi-squared", statistic=statistic, p_value=float(stats.chi2.sf(statistic, 1))
    )


def mcnemar(only_first: int, only_second: int) -> HypothesisTest:
    """The exact test of two paired proportions from the pairs in which just one of them succeeded.

    Source: McNemar 1947; exact form: a binomial test of a half. No such pair gives p = 1.
    """
    from scipy import stats  # noqa: PLC0415  (a second and 50 MB, which few runs need)

    _check(only_first, only_first + only_second)
    pairs = only_first + only_second
    p_value = float(stats.binomtest(only_first, pairs).pvalue) if pairs else 1.0
    return HypothesisTest(method="McNemar exact", statistic=float(only_first - only_second), p_value=p_value)


def goodness_of_fit(counts: Sequence[int], weights: Sequence[float] | None = None) -> HypothesisTest:
    """Whether counts fall on categories in proportion to the weights (evenly without them).

    Pearson's test; below an expected count of 5 it is judged against 9,999 seeded multinomial draws
    instead of the chi-squared distribution, and `method` says so. No counts at all give p = 1.
    """
    from scipy import stats  # noqa: PLC0415  (a second and 50 MB, which few runs need)

    counts_C = np.asarray(counts, dtype=np.float64)
    weights_C = np.ones_like(counts_C) if weights is None else np.asarray(weights, dtype=np.float64)
    if counts_C.shape != weights_C.shape or (counts_C < 0).any() or (weights_C <= 0).any():
        raise DataError("a goodness of fit needs one count >= 0 and one weight > 0 for each category")
    total = int(counts_C.sum())
    if total == 0 or len(counts_C) == 1:
        return HypothesisTest(method="none (nothing to compare)", statistic=None, p_value=1.0)
    shares_C = weights_C / weights_C.sum()
    statistic = _pearson(counts_C, shares_C * total)
    if (shares_C * total).min() >= SMALLEST_EXPECTED:
        p_value = float(stats.chi2.sf(statistic, len(counts_C) - 1))
        return HypothesisTest(method="chi-squared", statistic=float(statistic), p_value=p_value)
    draws_N_C = np.random.default_rng(0).multinomial(total, shares_C, size=9_999)
    as_far = int((_pearson(draws_N_C, shares_C * total) >= statistic - 1e-9).sum())
    return HypothesisTest(
        method="multinomial draws", statistic=float(statistic), p_value=(1 + as_far) / 10_000
    )


def _pearson(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return ((counts - expected) ** 2 / expected).sum(-1)


def _check(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise DataError(f"{successes} successes of {trials} trials are impossible: count again")
