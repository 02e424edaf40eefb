"""The exact test of a centre: if it is zero, every difference could as well have had the other sign.

Needs differences that are symmetric about their centre, and no normality: right for few clusters.
On differences of -1, 0 and 1 it is McNemar's exact test. All 2^n sign patterns are counted without
being listed: the sums of two halves are sorted and matched, so n = 30 costs 2 x 2^15.
"""

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.statistics.results import Interval

MOST_CLUSTERS = 32
"""More differences than this take too much memory."""
Floats = NDArray[np.float64]


def sign_flip_p_value(differences: Floats) -> float:
    """The share of all sign patterns whose sum lies at least as far from zero as the sum seen.

    Zeros have no sign and don't count. Source: Fisher 1935, The Design of Experiments, section 21.
    Raises: DataError beyond 32 differences that are not zero.
    """
    apart = differences[differences != 0]
    _check(len(apart))
    size = np.abs(apart)
    # a pattern's sum is the whole minus twice what is flipped: both tails are subset sums
    reached, tolerance = abs(float(apart.sum())), 1e-9 * float(size.sum())
    tail = _subsets_at_most(size, (float(size.sum()) - reached) / 2 + tolerance)
    return min(1.0, 2.0 * tail / 2.0 ** len(apart))


def sign_flip_interval(differences: Floats, alpha: float = 0.05) -> Interval | None:
    """The centres that the sign-flip test does not reject: order statistics of all subset means.

    None when 2^n patterns are too few to reject anything (n < 6 at alpha = .05). Source: Hartigan
    1969, JASA 64:1303.
    """
    _check(len(differences))
    if 2.0 ** (1 - len(differences)) > alpha:
        return None
    return Interval(low=_lowest(differences, alpha), high=-_lowest(-differences, alpha))


def _lowest(differences: Floats, alpha: float) -> float:
    """The smallest centre not rejected from below, by bisection over the subset means."""
    allowed = alpha / 2 * 2.0 ** len(differences)
    low, high = float(differences.min()), float(differences.mean())
    for _ in range(60):
        if high - low <= 1e-9 * float(np.ptp(differences)):
            break
        centre = (low + high) / 2
        if _subsets_at_most(differences - centre, 0.0) <= allowed:
            low = centre
        else:
            high = centre
    return low if abs(low) > 1e-8 * float(np.ptp(differences)) else 0.0


def _subsets_at_most(values: Floats, bound: float) -> float:
    """How many of the 2^n subsets (the empty one included) have a sum of at most `bound`."""
    half = len(values) // 2
    left, right = _subset_sums(values[:half]), np.sort(_subset_sums(values[half:]))
    return float(np.searchsorted(right, bound - left, side="right").sum())


def _subset_sums(values: Floats) -> Floats:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums


def _check(count: int) -> None:
    if count > MOST_CLUSTERS:
        raise DataError(
            f"{count} differences are too many for an exact test (most: {MOST_CLUSTERS}): use the t test"
        )
