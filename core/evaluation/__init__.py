"""A contest returns rows; one evaluation turns them into estimates, tests and a verdict."""

from core.evaluation.contest import Contest, Row
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
from core.evaluation.settings import EvaluationSettings

__all__ = [
    "Comparison",
    "Contest",
    "Estimate",
    "Evaluation",
    "EvaluationSettings",
    "LiteralTest",
    "Look",
    "Row",
    "SequentialDesign",
    "StratumComparison",
    "Validity",
    "Verdict",
    "evaluate",
]
