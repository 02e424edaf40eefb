"""How alike two orders are."""

import numpy as np
from numpy.typing import ArrayLike


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float | None:
    """Spearman's correlation of two lists of figures of the same things, ties at their mean rank.

    None with fewer than two things, or where one list has no two figures that differ.
    """
    from scipy import stats  # noqa: PLC0415  (a second and 50 MB, which few runs need)

    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(stats.spearmanr(one, other).statistic)
