"""The report of an experiment: the verdict first, then the arms, the nights, and what was left out."""

from collections.abc import Iterable

from core.evaluation.wording import figure, gap
from core.experiment.results import ArmComparison, ArmResult, ExperimentAnalysis
from core.reports.markdown import Report, bold, bullets, heading, percent, picture, table
from core.reports.sequence import Bounded, sequence_plot
from core.statistics import Interval

NIGHTS = 14
"""The last ones, in the table."""


def experiment_report(analysis: ExperimentAnalysis) -> Report:
    """The whole report of an experiment."""
    settings = analysis.settings
    verdicts = "; ".join(f"{one.arm} {one.verdict}" for one in analysis.comparisons)
    report = Report(f"Experiment {settings.name}: {verdicts}")
    report.add(heading("Verdict"), *map(_verdict, analysis.comparisons), *_warnings(analysis))
    report.add(heading("Arms"), _arms(analysis), _note(analysis))
    report.add(*_nights(analysis))
    return report.add(heading("What was left out, and the checks"), bullets(_checks(analysis)))


def _verdict(one: ArmComparison) -> str:
    return f"{bold(f'{one.arm}: {one.verdict}')}. {one.reason[:1].upper()}{one.reason[1:]}."


def _warnings(analysis: ExperimentAnalysis) -> Iterable[str]:
    if analysis.misrouted:
        yield bold(
            f"{analysis.misrouted:,} of {analysis.users:,} users rated another arm's model than is theirs by the hash: "
            "look at how the app asks for the arm (the user's id, the experiment's name and salt, a change of shares)"
        )


def _arms(analysis: ExperimentAnalysis) -> str:
    coverage = f"{100 * (1 - analysis.settings.alpha):g} % interval"
    header = (
        "arm",
        "model",
        "share",
        "users",
        "ratings",
        "up-rate of users",
        coverage,
        "ups of ratings",
        coverage,
    )
    return table(header, map(_arm, analysis.arms))


def _arm(arm: ArmResult) -> tuple[object, ...]:
    return (
        arm.arm,
        arm.version,
        percent(arm.share),
        arm.users,
        arm.ratings,
        figure(arm.rate, rate=True),
        _rates(arm.interval),
        figure(arm.pooled_rate, rate=True),
        _rates(arm.pooled_interval),
    )


def _note(analysis: ExperimentAnalysis) -> str:
    one = analysis.comparisons[0]
    return (
        "The up-rate of users is the mean of their own, each user counted once, and what is compared; in the ups of all "
        "ratings busy users count more. These intervals hold at one look; only the sequences below hold at all looks "
        f"together, at {100 * (1 - one.level):.3g} %, and only they decide."
    )


def _nights(analysis: ExperimentAnalysis) -> Iterable[str]:
    for one in analysis.comparisons:
        yield heading(f"{one.arm} minus {one.control}, night by night", 3)
        yield _seen(one)
        rows = [
            (
                str(look.day),
                look.users,
                look.control_users,
                gap(look.difference, rate=True),
                _points(look.sequence),
                look.p_value,
            )
            for look in one.looks[-NIGHTS:]
        ]
        yield table(
            ("day (UTC)", "users", "of the control", "difference", "sequence", "p, always valid"), rows
        )
    panels = [
        (
            f"{one.arm} minus {one.control}: up-rate, with its confidence sequence",
            [Bounded(at.day, at.difference, at.sequence.low, at.sequence.high) for at in one.looks],
        )
        for one in analysis.comparisons
        if one.looks
    ]
    if panels:
        yield picture(sequence_plot(panels, analysis.settings.worthwhile), "differences with their sequences")


def _seen(one: ArmComparison) -> str:
    if one.difference is None:
        return ""
    alone = f"{gap(one.difference, rate=True)} now ({_points(one.interval)} for whoever looks once)"
    return f"{alone}; zero was first excluded on {one.decided}." if one.decided else f"{alone}."


def _checks(analysis: ExperimentAnalysis) -> Iterable[str]:
    test, settings = analysis.mismatch, analysis.settings
    yield (
        f"users against shares: {test.method}, p = {test.p_value:.2g}; below {settings.mismatch_alpha:g} nothing here is "
        "to be trusted"
    )
    yield f"users seen in two arms, left out of both: {analysis.in_two_arms:,}"
    yield f"users with another arm than the hash gives them, counted where they were: {analysis.misrouted:,}"
    for reason, count in analysis.left_out.items():
        yield f"ratings {reason}, left out: {count:,}"
    since = f"from {settings.since:%Y-%m-%d %H:%M} " if settings.since else ""
    yield f"ratings of source '{analysis.source}' {since}to {analysis.as_of:%Y-%m-%d %H:%M %Z}"


def _rates(interval: Interval | None) -> str | None:
    if interval is None:
        return None
    low, high = (figure(end, rate=True) for end in (interval.low, interval.high))
    return f"{low.removesuffix(' %')} to {high}"


def _points(interval: Interval | None) -> str | None:
    if interval is None:
        return None
    low, high = (gap(end, rate=True) for end in (interval.low, interval.high))
    return f"{low.removesuffix(' points')} to {high}"
