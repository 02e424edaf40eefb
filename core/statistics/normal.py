"""The normal and t distributions, for whoever needs a probability without knowing scipy."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


def normal_cdf(values: ArrayLike) -> NDArray[np.float64]:
    """P(Z <= value) of a standard normal variable, elementwise, in [0, 1]."""
    return np.asarray(special.ndtr(np.asarray(values, dtype=np.float64)), dtype=np.float64)


def normal_quantile(probability: float) -> float:
    """The value below which a standard normal variable falls with this probability."""
    return float(special.ndtri(probability))


def t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """The value below which Student's t falls with this probability."""
    return float(special.stdtrit(degrees_of_freedom, probability))


def t_p_value(statistic: float, degrees_of_freedom: int) -> float:
    """The two-sided p-value of a t statistic."""
    return 2.0 * float(special.stdtr(degrees_of_freedom, -abs(statistic)))


def z_score(p_value: float, sign: float) -> float:
    """The normal deviate with this two-sided p-value and the sign given; at most 37 in size."""
    return float(np.copysign(normal_quantile(max(p_value, 1e-300) / 2), sign)) if p_value < 1 else 0.0
