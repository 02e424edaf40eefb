"""Looking whenever one likes: a p-value and an interval that hold at all looks together, however many there come to be.

A likelihood ratio averaged over the differences that might be there is a martingale where there is none, so the
chance that it ever exceeds 1 / alpha is at most alpha (Ville 1939). With a normal estimate D of variance V and differences
spread as N(0, scale^2) it is

    L = sqrt(V / (V + scale^2)) * exp(scale^2 * D^2 / (2 * V * (V + scale^2)))

It is exact where what a look adds is independent of the looks before, as with clusters that arrive, and near enough where
clusters go on growing (the tests hold its level by simulation).

Sources: Robbins 1970, Ann. Math. Stat. 41:1397; Johari, Pekelis & Walsh 2015, arXiv:1512.04922 (the mixture sequential
probability ratio test of A/B tests); Waudby-Smith et al. 2021, arXiv:2103.06476 (with estimated variances, for large samples).
"""

import math

from core.errors import DataError
from core.statistics.results import Interval


def always_valid_p_value(difference: float, variance: float, scale: float) -> float:
    """The evidence against a difference of zero, in (0, 1]: 1 / L. Valid at whatever look one stops.

    `variance` is that of the estimated difference, `scale` the size of differences that are looked for.
    Raises: DataError.
    """
    spread = _total(variance, scale)
    exponent = scale**2 * difference**2 / (2 * variance * spread)
    return min(1.0, math.exp(-min(700.0, exponent + 0.5 * math.log(variance / spread))))


def confidence_sequence(difference: float, variance: float, scale: float, alpha: float = 0.05) -> Interval:
    """The differences whose L at this look is below 1 / alpha: all looks' intervals hold the true one together.

    It excludes zero exactly where `always_valid_p_value` is below alpha. Raises: DataError.
    """
    spread = _total(variance, scale)
    if not 0 < alpha < 1:
        raise DataError(f"alpha = {alpha}: give a level between 0 and 1")
    reach = 2 * math.log(1 / alpha) + math.log(spread / variance)
    half = math.sqrt(variance * spread / scale**2 * reach)
    return Interval(low=difference - half, high=difference + half)


def _total(variance: float, scale: float) -> float:
    """The variance of the estimate over all differences that might be there."""
    if not (variance > 0 and scale > 0):
        raise DataError(f"variance {variance} and scale {scale}: both must be above 0")
    return variance + scale**2
