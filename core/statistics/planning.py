"""Planning a comparison: several tests, several looks, and what a size can show."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from core.errors import DataError
from core.statistics.normal import normal_cdf, normal_quantile, t_quantile

MOST_LOOKS = 8
LARGEST_EDGE = 6.0
"""Beyond this many standard deviations a probability is less than the integration resolves."""


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for their number, in the order given (Holm 1979, Scand. J. Statistics 6:65)."""
    count, largest = len(p_values), 0.0
    adjusted = [0.0] * count
    for rank, index in enumerate(sorted(range(count), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def obrien_fleming_bounds(sizes: Sequence[int], alpha: float = 0.05) -> tuple[float, ...]:
    """The |z| that stops each of 1 to 8 looks, two-sided, at `alpha` over all of them.

    `sizes` are the clusters seen at each look, not necessarily in equal steps. O'Brien & Fleming 1979,
    Biometrics 35:549; the level by the recursive integration of Armitage, McPherson & Rowe 1969. Four
    equal looks at .05: 4.049, 2.863, 2.337, 2.024.
    """
    shares = _shares(sizes)
    if not 0 < alpha < 1:
        raise DataError(f"alpha = {alpha}: give a level between 0 and 1")
    edge = _edge(shares, alpha)
    return tuple(edge / math.sqrt(share) for share in shares)


def repeated_p_value(z: float, look: int, sizes: Sequence[int]) -> float:
    """The smallest level over all looks at which O'Brien-Fleming bounds would stop at this look (from 1) with this z.

    Valid whatever made the contest end there: Jennison & Turnbull 2000, Group Sequential Methods, ch. 9.
    """
    shares = _shares(sizes)
    return _crossing(abs(z) * math.sqrt(shares[look - 1]), shares)


@cache
def _edge(shares: tuple[float, ...], alpha: float) -> float:
    return float(optimize.brentq(lambda edge: _crossing(edge, shares) - alpha, 1e-3, 37.0, xtol=1e-10))


def _shares(sizes: Sequence[int]) -> tuple[float, ...]:
    if not 1 <= len(sizes) <= MOST_LOOKS:
        raise DataError(f"{len(sizes)} looks: plan between 1 and {MOST_LOOKS}")
    if min(np.diff([0, *sizes])) <= 0:
        raise DataError(f"looks at {', '.join(map(str, sizes))}: each must see more than the one before")
    return tuple(size / sizes[-1] for size in sizes)


def _crossing(edge: float, shares: Sequence[float]) -> float:
    """P(a Brownian path leaves [-edge, edge] at one of the shares of its time, the last of them 1).

    Far out: the sum of the looks' own probabilities, which is never too small.
    """
    if edge > LARGEST_EDGE:
        return sum(2.0 * float(normal_cdf(-edge / math.sqrt(share))) for share in shares)
    nodes, weights = np.polynomial.legendre.leggauss(100)
    nodes, weights = nodes * edge, weights * edge
    inside = _density(nodes, shares[0])
    for step in np.diff(shares):
        inside = _density(nodes[:, None] - nodes[None, :], step) @ (weights * inside)
    return 1.0 - float(weights @ inside)


def _density(distances: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-(distances**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance))


def minimum_detectable_effect(
    standard_error: float, clusters: int, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The true difference that a paired test with this standard error finds with this power.

    None when the standard error can't tell (fewer than two clusters, or none that differs).
    """
    if clusters < 2 or standard_error <= 0:
        return None
    freedom = clusters - 1
    return (t_quantile(1 - alpha / 2, freedom) + t_quantile(power, freedom)) * standard_error


def clusters_needed(
    standard_deviation: float, effect: float, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """How many clusters would find this true difference, by the normal approximation.

    `standard_deviation` is that of the differences between clusters. None for an effect of zero.
    """
    if effect == 0:
        return None
    deviates = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return max(2, math.ceil((deviates * standard_deviation / effect) ** 2))
