"""The one rule that turns a comparison and its guards into a verdict with its reason."""

from collections.abc import Sequence
from typing import NamedTuple

from core.evaluation.results import Comparison, Validity, Verdict
from core.evaluation.settings import EvaluationSettings
from core.evaluation.wording import bounds, figure, gap, probability

BROKEN_AA = 0.001
"""An A/A comparison with a smaller p-value says that the contest itself is wrong."""


class Guards(NamedTuple):
    """What can decide against the interval, or explain it."""

    validity: tuple[Validity, ...]
    aa: Comparison | None
    detectable: float | None
    """The difference that a contest of this size would find."""


class Words(NamedTuple):
    """How the reason speaks of the numbers."""

    rate: bool
    clusters: str
    """The plural."""


def judge(
    primary: Comparison, settings: EvaluationSettings, guards: Guards, words: Words
) -> tuple[Verdict, str]:
    """The verdict and one sentence with the numbers behind it.

    In this order: an A/A row that differs: cannot tell. Too many invalid or substituted decisions, by themselves or
    beside the incumbent's: not better. No interval: cannot tell. Interval wholly below `worthwhile`: not better. Interval wholly
    above zero and p at most its level: better. Else cannot tell.
    """
    aa = guards.aa
    if aa is not None and aa.p_value < BROKEN_AA:
        seen = f"{gap(aa.difference, rate=words.rate)}, {probability(aa.p_value)}"
        reason = f"the A/A row should show nothing and shows {seen}: the contest is not fair"
        return Verdict.CANNOT_TELL, reason
    if (unusable := _invalid(guards.validity, settings)) is not None:
        return Verdict.NOT_BETTER, unusable
    return _by_interval(primary, settings, guards.detectable, words)


def _invalid(validity: Sequence[Validity], settings: EvaluationSettings) -> str | None:
    """Why a candidate's answers are too often of no use, or None."""
    by_policy = {one.policy: one for one in validity}
    candidate, incumbent = by_policy.get(settings.candidate), by_policy.get(settings.incumbent)
    if candidate is None:
        return None
    said = (
        f"{figure(candidate.rate, rate=True)} of {settings.candidate}'s {candidate.decisions:,.0f} decisions "
        "were invalid or substituted"
    )
    if candidate.rate > settings.invalid_rate_limit:
        return f"{said}, at most {figure(settings.invalid_rate_limit, rate=True)} may be"
    if incumbent is not None and candidate.rate > incumbent.rate + settings.invalid_rate_margin:
        margin = gap(settings.invalid_rate_margin, rate=True).removeprefix("+")
        return f"{said}, of {settings.incumbent}'s {figure(incumbent.rate, rate=True)}: at most {margin} more may be"
    return None


def _by_interval(
    primary: Comparison, settings: EvaluationSettings, detectable: float | None, words: Words
) -> tuple[Verdict, str]:
    seen, interval = _sentence(primary, settings, words), primary.interval
    if interval is None:
        return Verdict.CANNOT_TELL, f"{seen}: too few that differ to bound the difference"
    if interval.high < settings.worthwhile:
        margin = f"the smallest worthwhile gain of {gap(settings.worthwhile, rate=words.rate)}"
        return Verdict.NOT_BETTER, f"{seen}: below {margin if settings.worthwhile else 'zero'}"
    if interval.low > 0 and primary.p_value <= primary.level:
        return Verdict.BETTER, f"{seen}: above zero"
    smallest = gap(detectable, rate=words.rate).removeprefix("+")
    power = f"; a true difference under {smallest} is likely to be missed at this size" if detectable else ""
    return Verdict.CANNOT_TELL, f"{seen}: zero is not excluded{power}"


def _sentence(primary: Comparison, settings: EvaluationSettings, words: Words) -> str:
    return (
        f"{settings.candidate} minus {settings.incumbent} in {primary.metric}: "
        f"{gap(primary.difference, rate=words.rate)} ({bounds(primary, rate=words.rate)}, "
        f"{probability(primary.p_value)}, {primary.clusters:,} {words.clusters})"
    )
