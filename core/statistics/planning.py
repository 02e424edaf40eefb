"""Planning a comparison: several tests, several looks, and what a size can show."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize

from core.errors import DataError
from core.statistics.normal import normal_quantile, t_quantile


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for their number, in the order given (Holm 1979, Scand. J. Statistics 6:65)."""
    count, largest = len(p_values), 0.0
    adjusted = [0.0] * count
    for rank, index in enumerate(sorted(range(count), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def obrien_fleming_bounds(looks: int, alpha: float = 0.05) -> tuple[float, ...]:
    """The |z| that stops each of 1 to 8 equally spaced looks, two-sided, at `alpha` over all of them.

    O'Brien & Fleming 1979, Biometrics 35:549; the level by the recursive integration of Armitage,
    McPherson & Rowe 1969. Four looks at .05: 4.049, 2.863, 2.337, 2.024.
    """
    if not 1 <= looks <= 8:
        raise DataError(f"{looks} looks: plan between 1 and 8")
    if not 0 < alpha < 1:
        raise DataError(f"alpha = {alpha}: give a level between 0 and 1")
    last = optimize.brentq(lambda bound: _crossing(bound, looks) - alpha, 1e-3, 12.0, xtol=1e-10)
    return tuple(float(last * math.sqrt(looks / look)) for look in range(1, looks + 1))


def _crossing(last: float, looks: int) -> float:
    """P(a sum of standard normal steps leaves [-b, b] within `looks` steps), b = last * sqrt(looks)."""
    edge = last * math.sqrt(looks)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    nodes, weights = nodes * edge, weights * edge
    step = np.exp(-((nodes[:, None] - nodes[None, :]) ** 2) / 2) / math.sqrt(2 * math.pi)
    inside = np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
    for _ in range(looks - 1):
        inside = step @ (weights * inside)
    return 1.0 - float(weights @ inside)


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
