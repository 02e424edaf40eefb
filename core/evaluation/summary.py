"""An evaluation as one JSON document for tools: every policy's figures, its errors, and how far apart the policies are."""

from collections.abc import Mapping
from typing import Any

from core.evaluation.contest import Contest
from core.evaluation.results import Comparison, Evaluation
from core.statistics import Interval


def summary(evaluation: Evaluation, contest: Contest) -> dict[str, Any]:
    """Means with intervals, error rates, paired differences of the candidate to each other policy, and sample errors."""
    validity = {one.policy: one for one in evaluation.validity}
    policies: dict[str, dict[str, Any]] = {}
    for one in evaluation.estimates:
        known = policies.setdefault(one.policy, {})
        known[one.metric] = {"mean": one.mean, **_interval(one.interval)}
    for policy, known in policies.items():
        if (answers := validity.get(policy)) is not None:
            known["answers"], known["errors"] = answers.decisions, answers.invalid
            known["error_rate"] = answers.rate
        known["samples"] = [sample._asdict() for sample in contest.samples.get(policy, ())]
    return {
        "verdict": str(evaluation.verdict),
        "reason": evaluation.reason,
        "items": evaluation.items,
        evaluation.cluster_name + "s": evaluation.clusters,
        "policies": policies,
        "differences": [_difference(one) for one in evaluation.comparisons],
        "evidence": dict(evaluation.evidence),
    }


def _difference(one: Comparison) -> Mapping[str, Any]:
    """Candidate minus another policy on the same items."""
    return {
        "candidate_minus": one.policy,
        "metric": one.metric,
        "difference": one.difference,
        "p_value": one.p_value,
        **_interval(one.interval),
    }


def _interval(interval: Interval | None) -> dict[str, Any]:
    return {} if interval is None else {"low": interval.low, "high": interval.high}
