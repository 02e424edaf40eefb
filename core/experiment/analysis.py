"""From counts to a verdict that may be asked for every night."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from core.evaluation.wording import gap, probability
from core.experiment.counts import ArmCounts, Counts
from core.experiment.results import (
    ArmComparison,
    ArmResult,
    ExperimentAnalysis,
    ExperimentVerdict,
    NightlyLook,
)
from core.experiment.settings import Arm, ExperimentSettings
from core.statistics import (
    HypothesisTest,
    always_valid_p_value,
    confidence_sequence,
    goodness_of_fit,
    mean_rate,
    pooled_rate,
    within_unit,
)


def analyse(
    experiment: ExperimentSettings,
    counts: Counts,
    versions: Mapping[str, str],
    *,
    source: str,
    as_of: datetime,
) -> ExperimentAnalysis:
    """Every arm's up-rate, its difference to the control night by night, and what that amounts to.

    Users count once each: who rates a hundred answers has one opinion. Where the users do not fit the shares, every
    verdict is 'not to be trusted', whatever the difference.
    """
    mismatch = user_counts_test(experiment, counts)
    broken = _mismatch(experiment, counts, mismatch)
    return ExperimentAnalysis(
        settings=experiment,
        source=source,
        as_of=as_of,
        arms=tuple(_arm(experiment, arm, counts, versions[arm.name]) for arm in experiment.arms),
        comparisons=tuple(_compare(experiment, arm, counts, broken) for arm in experiment.treatments),
        mismatch=mismatch,
        in_two_arms=counts.in_two_arms,
        misrouted=counts.misrouted,
        left_out=dict(sorted(counts.left_out.items())),
    )


def user_counts_test(experiment: ExperimentSettings, counts: Counts) -> HypothesisTest:
    """Whether users lie in the arms as the shares would have them (Fabijan et al. 2019, KDD: sample ratio mismatch).

    Arms without a share are left out: a user in one is misrouted.
    """
    shared = [arm for arm in experiment.arms if arm.share > 0]
    users = [counts.arms[arm.name].users for arm in shared]
    return goodness_of_fit(users, [arm.share for arm in shared])


def _mismatch(experiment: ExperimentSettings, counts: Counts, test: HypothesisTest) -> str | None:
    """What is wrong with the users' numbers, or None."""
    if test.p_value >= experiment.mismatch_alpha:
        return None
    seen = ", ".join(
        f"{counts.arms[arm.name].users:,} users in {arm.name} ({100 * arm.share:.3g} % wanted)"
        for arm in experiment.arms
    )
    return f"{seen}; {test.method}, {probability(test.p_value)}: find out why before reading anything else"


def _arm(experiment: ExperimentSettings, arm: Arm, counts: Counts, version: str) -> ArmResult:
    found, alpha = counts.arms[arm.name], experiment.alpha
    trials, rates = found.trials, found.rates
    seen = trials.trials > 0
    return ArmResult(
        arm=arm.name,
        version=version,
        share=arm.share,
        users=found.users,
        ratings=trials.trials,
        ups=trials.successes,
        rate=rates.mean,
        interval=within_unit(mean_rate(rates).interval(alpha)) if seen else None,
        pooled_rate=trials.successes / trials.trials if seen else None,
        pooled_interval=within_unit(pooled_rate(trials).interval(alpha)) if seen else None,
    )


def _compare(experiment: ExperimentSettings, arm: Arm, counts: Counts, broken: str | None) -> ArmComparison:
    control = experiment.controlling
    level = experiment.alpha / len(experiment.treatments)
    ours, theirs = counts.arms[arm.name], counts.arms[control.name]
    looks = tuple(_looks(ours, theirs, experiment.typical_difference, level))
    verdict, reason = _judge(experiment, arm, looks, level)
    apart = mean_rate(ours.rates).minus(mean_rate(theirs.rates))
    return ArmComparison(
        arm=arm.name,
        control=control.name,
        level=level,
        difference=looks[-1].difference if looks else None,
        interval=apart.interval(level) if looks else None,
        looks=looks,
        verdict=ExperimentVerdict.MISMATCH if broken else verdict,
        reason=broken or reason,
    )


def _looks(ours: ArmCounts, theirs: ArmCounts, scale: float, level: float) -> Iterator[NightlyLook]:
    days = sorted({*ours.news, *theirs.news})
    for day, own, other in zip(days, ours.until(days), theirs.until(days), strict=True):
        if own.mean is None or other.mean is None:
            continue
        apart = mean_rate(own).minus(mean_rate(other))
        yield NightlyLook(
            day=day,
            users=own.clusters,
            control_users=other.clusters,
            difference=own.mean - other.mean,
            sequence=confidence_sequence(apart.value, apart.variance, scale, level),
            p_value=always_valid_p_value(apart.value, apart.variance, scale),
        )


def _judge(
    experiment: ExperimentSettings, arm: Arm, looks: Sequence[NightlyLook], level: float
) -> tuple[ExperimentVerdict, str]:
    """The verdict of the last look, and one sentence with the numbers behind it.

    The sequence wholly below `worthwhile`: not better. Wholly above zero: better. Else cannot tell yet.
    """
    if not looks:
        names = f"{arm.name} and {experiment.controlling.name}"
        return ExperimentVerdict.CANNOT_TELL, f"{names} do not both have ratings yet"
    last, worthwhile = looks[-1], experiment.worthwhile
    seen = _sentence(experiment, arm, last, level)
    if last.sequence.high < worthwhile:
        margin = f"the smallest worthwhile gain of {gap(worthwhile, rate=True)}" if worthwhile else "zero"
        return ExperimentVerdict.NOT_BETTER, f"{seen}: below {margin}"
    if last.sequence.low > 0:
        return ExperimentVerdict.BETTER, f"{seen}: above zero"
    return ExperimentVerdict.CANNOT_TELL, f"{seen}: zero is not excluded, let it run on"


def _sentence(experiment: ExperimentSettings, arm: Arm, look: NightlyLook, level: float) -> str:
    low, high = (gap(end, rate=True) for end in (look.sequence.low, look.sequence.high))
    return (
        f"{arm.name} minus {experiment.controlling.name} in up-rate: {gap(look.difference, rate=True)} "
        f"({100 * (1 - level):.3g} % sequence {low.removesuffix(' points')} to {high}, {probability(look.p_value)}, "
        f"{look.users:,} and {look.control_users:,} users)"
    )
