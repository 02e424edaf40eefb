"""A contest returns rows; one evaluation turns them into estimates, tests and a verdict."""

from core.evaluation.contest import Contest, Row, Sample
from core.evaluation.looks import Looks, plan_looks
from core.evaluation.measurement import evaluate
from core.evaluation.results import (
    Comparison,
    Estimate,
    Evaluation,
    LiteralTest,
    Look,
    SequentialDesign,
    StratumComparison,
    Validity,
    Verdict,
)
from core.evaluation.sequential import is_enough
from core.evaluation.settings import EvaluationSettings, check_names

__all__ = [
    "Comparison",
    "Contest",
    "Estimate",
    "Evaluation",
    "EvaluationSettings",
    "LiteralTest",
    "Look",
    "Looks",
    "Row",
    "Sample",
    "SequentialDesign",
    "StratumComparison",
    "Validity",
    "Verdict",
    "check_names",
    "evaluate",
    "is_enough",
    "plan_looks",
]
