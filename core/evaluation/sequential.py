"""Looking before the end: the primary comparison at planned looks, without inflating its level."""

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.comparison import as_comparison, compare, differences
from core.evaluation.contest import Contest
from core.evaluation.results import Comparison, Look, SequentialDesign
from core.evaluation.settings import EvaluationSettings
from core.statistics import normal_cdf, obrien_fleming_bounds, paired_test, repeated_p_value, z_score


def is_enough(contest: Contest, settings: EvaluationSettings) -> bool:
    """Whether a contest may end at the look it has come to: the primary comparison has crossed its bound.

    Raises: DataError when no look is due.
    """
    looks = compare_sequentially(contest, settings)[1].looks
    return bool(looks) and looks[-1].crossed


def compare_sequentially(
    contest: Contest, settings: EvaluationSettings
) -> tuple[Comparison, SequentialDesign]:
    """The primary comparison at the last look that was played, and the looks up to it.

    Interval and p-value are the repeated ones of Jennison & Turnbull 1989, J. R. Statist. Soc. B 51:305: they
    hold at all looks together, so they are valid wherever, and for whatever reason, the contest ended. A
    contest without early looks is tested once. Raises: DataError when the clusters played end at no look.
    """
    planned, played = contest.looks, contest.clusters
    if planned is None or len(planned.clusters) == 1:
        note = planned.note if planned else "played in one go, and tested once, at the end"
        design = SequentialDesign(looks=(), planned=1, clusters=played, stopped_early=False, note=note)
        return compare(contest, settings.candidate, settings.incumbent, settings), design
    sizes = planned.clusters
    if played not in sizes:
        after = ", ".join(map(str, sizes))
        raise DataError(
            f"no look is due after {played} {contest.cluster_name}s: play on, looks are after {after}"
        )
    number = sizes.index(played) + 1
    bounds = obrien_fleming_bounds(sizes, settings.alpha)
    looks = tuple(_look(contest, settings, at + 1, sizes[at], bounds[at]) for at in range(number))
    design = SequentialDesign(
        looks=looks,
        planned=len(sizes),
        clusters=sizes[-1],
        stopped_early=number < len(sizes),
        note=_note(contest, number),
    )
    return _repeated(contest, settings, looks[-1]), design


def _note(contest: Contest, number: int) -> str:
    sizes, name = contest.looks.clusters if contest.looks else (), f"{contest.cluster_name}s"
    if number < len(sizes):
        return f"stopped at look {number} of {len(sizes)} after {sizes[number - 1]:,} of {sizes[-1]:,} {name}"
    return f"played to the end: {len(sizes)} looks, {sizes[-1]:,} {name}"


def _look(contest: Contest, settings: EvaluationSettings, number: int, size: int, bound: float) -> Look:
    tested = paired_test(_first(contest, settings, size), settings.alpha)
    z = z_score(tested.p_value, tested.difference)
    return Look(number=number, clusters=size, z=z, bound=bound, crossed=abs(z) >= bound)


def _first(contest: Contest, settings: EvaluationSettings, size: int) -> NDArray[np.float64]:
    """The primary differences of the first `size` clusters."""
    within_I = np.isin(contest.clusters_I, contest.clusters_I[contest.first_items()[:size]])
    return differences(contest, settings.candidate, settings.incumbent, settings.primary_metric, within_I)


def _repeated(contest: Contest, settings: EvaluationSettings, look: Look) -> Comparison:
    """The primary comparison with the interval and the p-value that hold at all looks together."""
    pair = settings.candidate, settings.incumbent
    level = float(2 * normal_cdf(-look.bound))
    tested = paired_test(_first(contest, settings, look.clusters), level)
    sizes = contest.looks.clusters if contest.looks else ()
    repeated = tested.model_copy(
        update={
            "p_value": repeated_p_value(look.z, look.number, sizes),
            "method": f"{tested.method}, repeated over {len(sizes)} looks",
        }
    )
    return as_comparison(contest, pair, settings.primary_metric, repeated, settings.alpha, repeated=True)
