"""From the rows of a contest to numbers and a verdict, whatever the use case."""

from collections.abc import Mapping
from itertools import product

import numpy as np

from core.errors import DataError
from core.evaluation.comparison import compare, compare_strata, differences, estimate, is_rate
from core.evaluation.contest import Contest
from core.evaluation.judgement import Guards, Words, judge
from core.evaluation.literal import literal_test
from core.evaluation.results import Comparison, Estimate, Evaluation, Validity
from core.evaluation.sequential import compare_sequentially
from core.evaluation.settings import EvaluationSettings
from core.statistics import HypothesisTest, clusters_needed, goodness_of_fit, minimum_detectable_effect


def evaluate(
    contest: Contest,
    settings: EvaluationSettings,
    evidence: Mapping[str, str],
    aa: Contest | None = None,
) -> Evaluation:
    """Estimates, comparisons, tests and the verdict on the candidate.

    `aa` holds one policy twice, under other seeds. Raises: DataError when a policy or metric of the settings is not
    in the contest, or the contest ended at none of its looks.
    """
    primary, sequential = compare_sequentially(contest, settings)
    validity = tuple(
        _validity(policy, contest.counts[policy]) for policy in contest.policies if policy in contest.counts
    )
    itself = _aa(settings, aa)
    detectable, needed = _power(contest, settings, primary)
    verdict, reason = judge(
        primary, settings, Guards(validity, itself, detectable), _words(contest, settings)
    )
    return Evaluation(
        settings=settings,
        cluster_name=contest.cluster_name,
        stratum_name=contest.stratum_name,
        clusters=contest.clusters,
        items=len(contest.items),
        rates=tuple(metric for metric in contest.values if is_rate(contest, metric)),
        estimates=_estimates(contest, settings),
        primary=primary,
        comparisons=_comparisons(contest, settings, primary),
        strata=compare_strata(contest, settings),
        strata_fit=_strata_fit(contest),
        sequential=sequential,
        literal=literal_test(contest, settings),
        aa=itself,
        minimum_detectable_effect=detectable,
        clusters_needed=needed,
        validity=validity,
        verdict=verdict,
        reason=reason,
        design=tuple(contest.design.items()),
        evidence=dict(evidence),
    )


def _aa(settings: EvaluationSettings, aa: Contest | None) -> Comparison | None:
    if aa is None:
        return None
    if len(aa.policies) != 2:
        raise DataError(f"an A/A contest holds one policy twice, under two names, not {aa.policies}")
    return compare(aa, *aa.policies, settings)


def _words(contest: Contest, settings: EvaluationSettings) -> Words:
    return Words(is_rate(contest, settings.primary_metric), f"{contest.cluster_name}s")


def _estimates(contest: Contest, settings: EvaluationSettings) -> tuple[Estimate, ...]:
    pairs = product(contest.policies, contest.values)
    return tuple(estimate(contest, policy, metric, settings.alpha) for policy, metric in pairs)


def _comparisons(
    contest: Contest, settings: EvaluationSettings, primary: Comparison
) -> tuple[Comparison, ...]:
    others = (policy for policy in contest.policies if policy != settings.candidate)
    return tuple(
        primary if other == settings.incumbent else compare(contest, settings.candidate, other, settings)
        for other in others
    )


def _validity(policy: str, counts: Mapping[str, float]) -> Validity:
    decisions = counts.get("decisions", 0.0)
    invalid, substituted = counts.get("invalid", 0.0), counts.get("substituted", 0.0)
    return Validity(
        policy=policy,
        decisions=decisions,
        invalid=invalid,
        substituted=substituted,
        rate=max(invalid, substituted) / max(decisions, 1.0),
        tokens=counts.get("tokens"),
        seconds=counts.get("seconds"),
    )


def _strata_fit(contest: Contest) -> HypothesisTest | None:
    if not contest.stratum_wins:
        return None
    return goodness_of_fit([contest.stratum_wins[stratum] for stratum in sorted(contest.stratum_wins)])


def _power(
    contest: Contest, settings: EvaluationSettings, primary: Comparison
) -> tuple[float | None, int | None]:
    """The difference this contest would find, and the clusters that the difference seen would need."""
    apart_C = differences(contest, settings.candidate, settings.incumbent, settings.primary_metric)
    if len(apart_C) < 2:
        return None, None
    deviation, count = float(np.std(apart_C, ddof=1)), len(apart_C)
    detectable = minimum_detectable_effect(deviation / count**0.5, count, settings.power, settings.alpha)
    return detectable, clusters_needed(deviation, primary.difference, settings.power, settings.alpha)
