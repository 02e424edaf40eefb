"""Means of policies, and differences between them on the same items."""

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.contest import Contest
from core.evaluation.results import Comparison, Estimate, StratumComparison
from core.evaluation.settings import EvaluationSettings
from core.statistics import (
    Interval,
    PairedDifference,
    cluster_means,
    holm,
    mean_interval,
    paired_test,
    wilson_interval,
)

Floats = NDArray[np.float64]


def estimate(contest: Contest, policy: str, metric: str, alpha: float) -> Estimate:
    """One policy's mean over clusters with its t interval; Wilson's where no cluster differs."""
    values_I = contest.values_of(policy, metric)
    means_C = cluster_means(values_I, contest.clusters_I)
    return Estimate(
        policy=policy,
        metric=metric,
        mean=float(means_C.mean()) if len(means_C) else None,
        interval=_interval(means_C, alpha, rate=is_rate(contest, metric)),
        clusters=len(means_C),
        missing=int(np.isnan(values_I).sum()),
    )


def _interval(means_C: Floats, alpha: float, *, rate: bool) -> Interval | None:
    interval = mean_interval(means_C, alpha) if len(means_C) else None
    if not rate:
        return interval
    if interval is None and len(means_C) and means_C[0] in (0.0, 1.0):
        return wilson_interval(int(means_C.sum()), len(means_C), alpha)
    return interval and Interval(low=max(0.0, interval.low), high=min(1.0, interval.high))


def is_rate(contest: Contest, metric: str) -> bool:
    """Whether every value of a metric lies in [0, 1]."""
    values = contest.values[metric]
    present = values[~np.isnan(values)]
    return bool(len(present) and present.min() >= 0 and present.max() <= 1)


def differences(
    contest: Contest, policy: str, other: str, metric: str, within_I: NDArray[np.bool_] | None = None
) -> Floats:
    """Mean difference of two policies in each cluster, in the order of play, (C,); within some items, or all.

    Raises: DataError when there are none.
    """
    apart_I = contest.values_of(policy, metric) - contest.values_of(other, metric)
    chosen = slice(None) if within_I is None else within_I
    differences_C = cluster_means(apart_I[chosen], contest.clusters_I[chosen])
    if not len(differences_C):
        raise DataError(f"'{policy}' and '{other}' have no item with a value of '{metric}' in common")
    return differences_C


def compare(contest: Contest, policy: str, other: str, settings: EvaluationSettings) -> Comparison:
    """One policy minus another on the primary metric, all clusters."""
    differences_C = differences(contest, policy, other, settings.primary_metric)
    tested = paired_test(differences_C, settings.alpha)
    return as_comparison(contest, (policy, other), settings.primary_metric, tested, settings.alpha)


def as_comparison(
    contest: Contest,
    pair: tuple[str, str],
    metric: str,
    tested: PairedDifference,
    level: float,
    *,
    repeated: bool = False,
) -> Comparison:
    """A tested difference with the names of what was compared."""
    first_I, second_I = (contest.values_of(policy, metric) for policy in pair)
    missing = int(np.isnan(first_I - second_I).sum())
    return Comparison(
        **tested.model_dump(), policy=pair[1], metric=metric, level=level, repeated=repeated, missing=missing
    )


def compare_strata(contest: Contest, settings: EvaluationSettings) -> tuple[StratumComparison, ...]:
    """Candidate minus incumbent in each stratum, with p-values adjusted for their number."""
    if contest.strata_I is None:
        return ()
    names = settings.candidate, settings.incumbent
    pair = [contest.values_of(name, settings.primary_metric) for name in names]
    both_I = ~np.isnan(pair[0] - pair[1])
    rows = []
    for stratum in np.unique(contest.strata_I[both_I]):
        chosen_I = both_I & (contest.strata_I == stratum)
        means = [cluster_means(values_I[chosen_I], contest.clusters_I[chosen_I]) for values_I in pair]
        tested = paired_test(means[0] - means[1], settings.alpha)
        rows.append((int(stratum), float(means[0].mean()), float(means[1].mean()), tested))
    adjusted = holm([tested.p_value for *_, tested in rows])
    wins = sum(contest.stratum_wins.values())
    return tuple(
        StratumComparison(
            stratum=stratum,
            clusters=tested.clusters,
            candidate=candidate,
            incumbent=incumbent,
            interval=tested.interval,
            p_value=tested.p_value,
            p_holm=p_holm,
            share_of_wins=contest.stratum_wins.get(stratum, 0) / wins if wins else None,
        )
        for (stratum, candidate, incumbent, tested), p_holm in zip(rows, adjusted, strict=True)
    )
