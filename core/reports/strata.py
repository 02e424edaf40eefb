"""A contest by stratum, such as a seat: the candidate against the incumbent in each."""

from core.evaluation import Evaluation
from core.evaluation.wording import figure, gap, probability
from core.reports.figures import strata_plot
from core.reports.markdown import heading, percent, picture, table


def strata_section(evaluation: Evaluation, *, pictures: bool = True) -> tuple[str, ...]:
    """Picture, table and the worth of each stratum; nothing without strata."""
    if not evaluation.strata:
        return ()
    rate, name = evaluation.settings.primary_metric in evaluation.rates, evaluation.stratum_name
    rows = [
        (
            str(one.stratum),
            f"{one.clusters:,}",
            figure(one.candidate, rate=rate),
            figure(one.incumbent, rate=rate),
            gap(one.candidate - one.incumbent, rate=rate),
            f"{one.p_value:.2g}",
            f"{one.p_holm:.2g}",
            percent(one.share_of_wins),
        )
        for one in evaluation.strata
    ]
    names = evaluation.settings.candidate, evaluation.settings.incumbent
    header = (
        name,
        f"{evaluation.cluster_name}s",
        *names,
        "difference",
        "p",
        "p (Holm)",
        f"wins of the {name}",
    )
    fit = evaluation.strata_fit
    worth = f"Are all {name}s worth the same? {fit.method}, {probability(fit.p_value)}." if fit else ""
    return (
        heading(f"By {name}", 3),
        _strata_picture(evaluation) if pictures else "",
        table(header, rows),
        worth,
    )


def _strata_picture(evaluation: Evaluation) -> str:
    settings, strata = evaluation.settings, evaluation.strata
    rate = settings.primary_metric in evaluation.rates
    series = {
        settings.candidate: [one.candidate for one in strata],
        settings.incumbent: [one.incumbent for one in strata],
    }
    if rate and all(one.share_of_wins is not None for one in strata):
        series[f"whoever has the {evaluation.stratum_name}"] = [one.share_of_wins or 0.0 for one in strata]
    title = f"{settings.primary_metric} by {evaluation.stratum_name}"
    png = strata_plot([one.stratum for one in strata], series, evaluation.stratum_name, title, rate=rate)
    return picture(png, title)
