"""Looking before the end: the primary comparison at planned looks, without inflating its level."""

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.comparison import as_comparison, differences
from core.evaluation.contest import Contest
from core.evaluation.results import Comparison, Look, SequentialDesign
from core.evaluation.settings import EvaluationSettings
from core.statistics import normal_cdf, obrien_fleming_bounds, paired_test, z_score


def compare_sequentially(
    contest: Contest, settings: EvaluationSettings, planned_clusters: int | None = None
) -> tuple[Comparison, SequentialDesign]:
    """The primary comparison at the look that stopped it, or at the last, with the level of that look.

    The interval is the repeated confidence interval of Jennison & Turnbull 1989. A contest that is still
    being played gives the number of clusters it was planned for. A design without room for its looks is
    tested once, and the note says why. Raises: DataError before the first look's clusters are played.
    """
    differences_C = differences(contest, settings.candidate, settings.incumbent, settings.primary_metric)
    planned = planned_clusters or len(differences_C)
    sizes = [round(planned * look / settings.looks) for look in range(1, settings.looks + 1)]
    note = _obstacle(contest, settings, sizes)
    if note:
        design = SequentialDesign(looks=(), planned=settings.looks, stopped_early=False, note=note)
        return _comparison(contest, settings, differences_C, settings.alpha), design
    looks, level = _looks(differences_C, settings, sizes)
    stopped = looks[-1].crossed and len(looks) < settings.looks
    note = f"{'stopped' if stopped else 'ended'} at look {len(looks)} of {settings.looks}"
    design = SequentialDesign(looks=looks, planned=settings.looks, stopped_early=stopped, note=note)
    return _comparison(contest, settings, differences_C[: looks[-1].clusters], level), design


def _obstacle(contest: Contest, settings: EvaluationSettings, sizes: list[int]) -> str:
    """Why the looks can't be used; empty when they can."""
    if settings.looks == 1:
        return "a fixed design: one look at the end"
    smallest = min(np.diff([0, *sizes]))
    if smallest < settings.min_clusters_per_look:
        return (
            f"{settings.looks} looks would hold {smallest} {contest.cluster_name}s each and "
            f"{settings.min_clusters_per_look} are needed: tested once, at the end"
        )
    if not _balanced(contest, sizes):
        return f"a look would hold unequal numbers of each {contest.stratum_name}: tested once, at the end"
    return ""


def _balanced(contest: Contest, sizes: list[int]) -> bool:
    """Whether each look has every stratum equally often, give or take one."""
    if contest.strata_I is None:
        return True
    strata_C = contest.strata_I[contest.first_items()]
    names = np.unique(strata_C)
    counts = (np.array([(strata_C[:size] == name).sum() for name in names]) for size in sizes)
    return all(np.ptp(count) <= 1 for count in counts)


def _looks(
    differences_C: NDArray[np.float64], settings: EvaluationSettings, sizes: list[int]
) -> tuple[tuple[Look, ...], float]:
    """The looks up to the first that stops, and the two-sided level of the last of them."""
    if len(differences_C) < sizes[0]:
        raise DataError(
            f"the first look needs {sizes[0]} clusters, {len(differences_C)} were played: play on"
        )
    looks: list[Look] = []
    bounds = obrien_fleming_bounds(settings.looks, settings.alpha)
    for number, (size, bound) in enumerate(zip(sizes, bounds, strict=True), start=1):
        if size > len(differences_C) or (looks and looks[-1].crossed):
            break
        tested = paired_test(differences_C[:size], settings.alpha, settings.min_clusters)
        z = z_score(tested.p_value, tested.difference)
        looks.append(Look(number=number, clusters=size, z=z, bound=bound, crossed=abs(z) >= bound))
    return tuple(looks), float(2 * normal_cdf(-looks[-1].bound))


def _comparison(
    contest: Contest, settings: EvaluationSettings, differences_C: NDArray[np.float64], level: float
) -> Comparison:
    tested = paired_test(differences_C, level, settings.min_clusters)
    pair = settings.candidate, settings.incumbent
    return as_comparison(contest, pair, settings.primary_metric, tested, level)
