"""Paired comparison of two policies on clusters: what was drawn at random, such as a league or a day."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.statistics.normal import t_p_value, t_quantile
from core.statistics.results import Interval, PairedDifference
from core.statistics.sign_flip import sign_flip_interval, sign_flip_p_value

Floats = NDArray[np.float64]
ENOUGH_CLUSTERS = 30
"""From so many that differ on, Student's t is near enough; the exact test can count fewer."""


def cluster_means(values_I: ArrayLike, clusters_I: ArrayLike) -> Floats:
    """The mean of each cluster's items, in the order in which the clusters first appear.

    Missing values (NaN) are left out; a cluster without any value is left out whole.
    """
    values, clusters = np.asarray(values_I, dtype=np.float64), np.asarray(clusters_I)
    if values.shape != clusters.shape or values.ndim != 1:
        raise DataError(f"{values.shape} values need as many cluster numbers, not {clusters.shape}")
    present = ~np.isnan(values)
    _, first, inverse = np.unique(clusters[present], return_index=True, return_inverse=True)
    sums_C, counts_C = np.bincount(inverse, weights=values[present]), np.bincount(inverse)
    means_C: Floats = (sums_C / counts_C)[np.argsort(first, kind="stable")] if present.any() else np.empty(0)
    return means_C


def paired_test(differences_C: ArrayLike, alpha: float = 0.05) -> PairedDifference:
    """Test one difference per cluster against zero, exactly where a normal approximation would be rash.

    At least `ENOUGH_CLUSTERS` clusters that differ: `paired_t`. Fewer clusters: the
    exact sign-flip test and its interval. Many clusters of which few differ: the exact test with the
    t interval. All differences zero: p = 1 and no interval.
    """
    differences = _checked(differences_C)
    apart = int(np.count_nonzero(differences))
    if apart == 0 or len(differences) < 2:
        return _undecided(differences)
    if len(differences) < ENOUGH_CLUSTERS:
        return _exact(differences, sign_flip_interval(differences, alpha), "exact sign-flip test")
    if apart < ENOUGH_CLUSTERS:
        parametric = paired_t(differences, alpha)
        return _exact(
            differences, parametric.interval, f"exact sign-flip test on {apart} that differ, t interval"
        )
    return paired_t(differences, alpha)


def paired_t(differences_C: ArrayLike, alpha: float = 0.05) -> PairedDifference:
    """Student's t test of one difference per cluster against zero, with its interval.

    Differences that are all alike have no spread to judge by: their p-value is the sign test's.
    """
    differences = _checked(differences_C)
    count = len(differences)
    if count < 2 or not differences.any():
        return _undecided(differences)
    mean, error = float(differences.mean()), _standard_error(differences)
    if error <= 1e-12 * abs(mean):
        half, p_value, method = 0.0, 2.0 ** (1 - count), "sign test (no spread)"
    else:
        half = t_quantile(1 - alpha / 2, count - 1) * error
        p_value, method = t_p_value(mean / error, count - 1), "paired t"
    return PairedDifference(
        difference=mean,
        standard_error=error,
        interval=Interval(low=mean - half, high=mean + half),
        p_value=p_value,
        clusters=count,
        method=method,
    )


def mean_interval(means_C: ArrayLike, alpha: float = 0.05) -> Interval | None:
    """The t interval of a mean over clusters; None with one cluster, or with clusters that are all alike."""
    means = _checked(means_C)
    if len(means) < 2 or not np.ptp(means):
        return None
    half = t_quantile(1 - alpha / 2, len(means) - 1) * _standard_error(means)
    return Interval(low=float(means.mean() - half), high=float(means.mean() + half))


def _exact(differences: Floats, interval: Interval | None, method: str) -> PairedDifference:
    return PairedDifference(
        difference=float(differences.mean()),
        standard_error=_standard_error(differences),
        interval=interval,
        p_value=sign_flip_p_value(differences),
        clusters=len(differences),
        method=method,
    )


def _undecided(differences: Floats) -> PairedDifference:
    alone = len(differences) < 2
    return PairedDifference(
        difference=float(differences.mean()),
        standard_error=None if alone else 0.0,
        interval=None,
        p_value=1.0,
        clusters=len(differences),
        method="none (one cluster)" if alone else "none (no cluster differs)",
    )


def _standard_error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _checked(values: ArrayLike) -> Floats:
    checked = np.asarray(values, dtype=np.float64)
    if checked.ndim != 1 or len(checked) == 0 or not np.isfinite(checked).all():
        raise DataError(
            "a comparison needs at least one cluster, and finite values: drop the missing ones first"
        )
    return checked
