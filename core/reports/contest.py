"""What an evaluation says, as a reader wants it: the verdict first, then what it rests on."""

import re
from collections.abc import Iterable

from core.evaluation import Comparison, Evaluation, LiteralTest
from core.evaluation.wording import bounds, figure, gap, probability
from core.reports.figures import Span, interval_plot
from core.reports.markdown import bold, bullets, duration, heading, percent, picture, table
from core.reports.strata import strata_section
from core.statistics import Interval

DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def evaluation_section(evaluation: Evaluation, *, pictures: bool = True) -> tuple[str, ...]:
    """The parts of a report about one contest: verdict, table, pictures, then every test, then validity."""
    return tuple(
        part
        for part in (
            heading("Verdict"),
            f"{bold(evaluation.verdict.capitalize())}. {_sentence(evaluation.reason)}",
            f"The contest {evaluation.sequential.note}." if evaluation.sequential.stopped_early else "",
            heading("Policies", 3),
            policy_table(evaluation),
            contest_picture(evaluation) if pictures else "",
            heading("Candidate minus each policy", 3),
            comparison_table(evaluation),
            _note(evaluation),
            *_design(evaluation),
            *strata_section(evaluation, pictures=pictures),
            *_literal(evaluation),
            heading("Checks on the contest", 3),
            bullets(_checks(evaluation)),
            *_looks(evaluation),
            *_validity(evaluation),
            heading("What it stands on", 3),
            *_evidence(evaluation),
        )
        if part
    )


def _evidence(evaluation: Evaluation) -> Iterable[str]:
    rows = [("evaluation", evaluation.id), *sorted(evaluation.evidence.items())]
    yield table(("evidence", "value"), [(name, DIGEST.sub(r"\1", value)) for name, value in rows])
    yield "Digests by their first letters; `evaluation.json` in the run's folder has them whole."


def policy_table(evaluation: Evaluation) -> str:
    """Every policy with its mean and interval of every metric, best in the primary metric first."""
    primary, rates = evaluation.settings.primary_metric, evaluation.rates
    metrics = list(dict.fromkeys([primary, *(one.metric for one in evaluation.estimates)]))
    found = {(one.policy, one.metric): one for one in evaluation.estimates}
    policies = {one.policy: found[one.policy, primary].mean for one in evaluation.estimates}
    ranked = sorted(policies, key=lambda policy: -(policies[policy] or 0.0))
    rows = []
    for policy in ranked:
        first = found[policy, primary]
        others = [figure(found[policy, metric].mean, rate=metric in rates) for metric in metrics[1:]]
        rows.append(
            (
                bold(policy) if policy == evaluation.settings.candidate else policy,
                figure(first.mean, rate=primary in rates),
                _interval(first.interval, rate=primary in rates),
                *others,
            )
        )
    coverage = f"{100 * (1 - evaluation.settings.alpha):g} % interval"
    return table(("policy", primary, coverage, *metrics[1:]), rows)


def contest_picture(evaluation: Evaluation) -> str:
    """The interval plot of the primary metric."""
    settings = evaluation.settings
    means = [
        Span(one.policy, one.mean, *_ends(one.interval), marked=one.policy == settings.candidate)
        for one in evaluation.estimates
        if one.metric == settings.primary_metric and one.mean is not None
    ]
    gaps = [Span(one.policy, one.difference, *_ends(one.interval)) for one in evaluation.comparisons]
    coverage = f"{100 * (1 - settings.alpha):g} % interval"
    titles = f"{settings.primary_metric}, {coverage}", f"{settings.candidate} minus each"
    rate = settings.primary_metric in evaluation.rates
    return picture(
        interval_plot(means, gaps, titles, rate=rate), "policies and differences with their intervals"
    )


def comparison_table(evaluation: Evaluation) -> str:
    """Candidate minus every other policy on the same items."""
    rate = evaluation.settings.primary_metric in evaluation.rates
    return table(
        ("minus", "difference", "interval", "standard error", "p", f"{evaluation.cluster_name}s", "test"),
        [_comparison_row(one, rate=rate) for one in evaluation.comparisons],
    )


def _comparison_row(comparison: Comparison, *, rate: bool) -> tuple[str | None, ...]:
    error = comparison.standard_error
    return (
        comparison.policy,
        gap(comparison.difference, rate=rate),
        _span(comparison.interval, rate=rate),
        gap(error, rate=rate).removeprefix("+"),
        f"{comparison.p_value:.2g}",
        f"{comparison.clusters:,}",
        comparison.method,
    )


def _note(evaluation: Evaluation) -> str:
    pair = f"{evaluation.settings.candidate} minus {evaluation.settings.incumbent}"
    looks = " or for the looks" if evaluation.sequential.looks else ""
    return (
        f"Only {pair} decides; the other rows are not corrected for their number{looks}. {evaluation.items:,} items in "
        f"{evaluation.clusters:,} {evaluation.cluster_name}s, every policy on the same items; a "
        f"{evaluation.cluster_name} counts once."
    )


def _design(evaluation: Evaluation) -> Iterable[str]:
    if not evaluation.design:
        return ()
    return heading("What was played", 3), table(("design", "value"), evaluation.design)


def _literal(evaluation: Evaluation) -> Iterable[str]:
    test = evaluation.literal
    if test is None:
        return ()
    name, ours = evaluation.cluster_name, evaluation.settings.candidate
    separate = (
        f"separate {name}s, one item each: {_arms(test, ours)}; {test.test.method}, "
        f"{probability(test.test.p_value)}; difference {_span(test.interval, rate=True)} (Newcombe)"
    )
    paired = (
        f"the same {name}s, one item each: only {ours} won {test.only_candidate:,}, "
        f"only {test.policy} {test.only_other:,}; {test.paired.method}, {probability(test.paired.p_value)}"
    )
    return heading("The textbook test", 3), bullets((separate, paired))


def _arms(test: LiteralTest, candidate: str) -> str:
    return (
        f"{candidate} {test.wins:,} of {test.trials:,} ({percent(test.wins / max(test.trials, 1))}), {test.policy} "
        f"{test.other_wins:,} of {test.other_trials:,} ({percent(test.other_wins / max(test.other_trials, 1))})"
    )


def _checks(evaluation: Evaluation) -> Iterable[str]:
    rate, settings = evaluation.settings.primary_metric in evaluation.rates, evaluation.settings
    if evaluation.aa is not None:
        found = gap(evaluation.aa.difference, rate=rate)
        yield (
            f"A/A, one policy against itself under other seeds ({evaluation.aa.policy}): {found} "
            f"({bounds(evaluation.aa, rate=rate)}, {probability(evaluation.aa.p_value)})"
        )
    if evaluation.minimum_detectable_effect is not None:
        smallest = gap(evaluation.minimum_detectable_effect, rate=rate).removeprefix("+")
        yield f"smallest true difference found with {percent(settings.power, 0)} power at this size: {smallest}"
    if evaluation.clusters_needed is not None:
        needed = f"{evaluation.clusters_needed:,} {evaluation.cluster_name}s"
        yield f"the difference seen would need {needed} at that power, {evaluation.clusters:,} were played"
    yield f"looks: {evaluation.sequential.note}"


def _looks(evaluation: Evaluation) -> Iterable[str]:
    rows = [
        (str(one.number), f"{one.clusters:,}", f"{one.z:+.2f}", f"{one.bound:.3f}", one.crossed)
        for one in evaluation.sequential.looks
    ]
    return (
        (table(("look", f"{evaluation.cluster_name}s", "z", "O'Brien-Fleming bound", "crossed"), rows),)
        if rows
        else ()
    )


def _validity(evaluation: Evaluation) -> Iterable[str]:
    if not evaluation.validity:
        return ()
    rows = [
        (
            one.policy,
            f"{one.decisions:,.0f}",
            f"{one.invalid:,.0f}",
            f"{one.substituted:,.0f}",
            percent(one.rate, 2),
            one.tokens and f"{one.tokens:,.0f}",
            duration(one.seconds and one.seconds / max(one.decisions, 1)),
        )
        for one in evaluation.validity
    ]
    header, settings = (
        ("policy", "decisions", "invalid", "substituted", "rate", "tokens", "time each"),
        evaluation.settings,
    )
    note = (
        "Decisions are those a policy was asked for: where only one answer is legal, a model is not asked. The rate is "
        f"of them; above {percent(settings.invalid_rate_limit)}, or more than {percent(settings.invalid_rate_margin)} above the "
        "incumbent's, a candidate is not better."
    )
    return heading("Answers that could not be used", 3), note, table(header, rows)


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def _interval(interval: Interval | None, *, rate: bool) -> str | None:
    if interval is None:
        return None
    low = figure(interval.low, rate=rate).removesuffix(" %")
    return f"{low} to {figure(interval.high, rate=rate)}"


def _span(interval: Interval | None, *, rate: bool) -> str | None:
    if interval is None:
        return None
    low = gap(interval.low, rate=rate).removesuffix(" points")
    return f"{low} to {gap(interval.high, rate=rate)}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
