"""The weights that a filing desk's agents start with, and what a user's feedback is worth to each."""

from collections.abc import Mapping
from typing import Literal

from core.decision import AgentType
from core.record import Settings

Group = Literal["immediate", "delayed", "strategic", "contextual", "accuracy", "quality"]
"""What is known at once, what the outcome shows, and what else an agent is held to."""
WEIGHTS: Mapping[AgentType, Mapping[Group, Mapping[str, float]]] = {
    AgentType.FILER: {
        "immediate": {"userFeedback": 1.0, "confidenceCalibration": 0.1},
        "delayed": {
            "completionSuccess": 0.5,
            "blockageAvoidance": 0.3,
            "reworkPenalty": 0.2,
            "timeEfficiency": 0.3,
        },
        "strategic": {"goalAlignment": 0.4, "opportunityCost": 0.2},
    },
    AgentType.LIBRARIAN: {
        "immediate": {"userFeedback": 1.0},
        "delayed": {
            "conflictPrevention": 2.0,
            "falsePositivePenalty": 0.5,
            "missedIssuePenalty": 2.0,
            "dependencyAccuracy": 0.5,
        },
    },
    AgentType.PRIORITIZER: {
        "immediate": {"userAcceptance": 1.0},
        "delayed": {
            "completionSuccess": 1.0,
            "timeEfficiency": 0.5,
            "strategicProgress": 0.8,
            "opportunityCost": 0.3,
        },
        "contextual": {"energyAlignment": 0.2, "flowMaintenance": 0.2},
    },
    AgentType.STORER: {
        "immediate": {"userAcceptance": 1.0, "editDistance": 0.5},
        "delayed": {"corpusCoherence": 0.7, "findability": 0.6, "duplicationPenalty": 0.4},
    },
    AgentType.RETRIEVER: {
        "immediate": {"userAcceptance": 1.0, "editDistance": 0.5},
        "accuracy": {"citationCorrectness": 0.8, "hallucinationPenalty": 2.0, "completeness": 0.6},
        "quality": {"coherence": 0.4, "styleAlignment": 0.3},
    },
}


class FeedbackValues(Settings):
    """What each kind of feedback is worth as a component."""

    CONFIRMED: float = 1.0
    CORRECTED: float = -0.5
    IGNORED: float = 0.0
    OVERRIDDEN: float = 0.0


FEEDBACK: Mapping[AgentType, FeedbackValues] = {
    AgentType.FILER: FeedbackValues(OVERRIDDEN=-0.8),
    AgentType.LIBRARIAN: FeedbackValues(OVERRIDDEN=-0.8),
    AgentType.PRIORITIZER: FeedbackValues(),
    AgentType.STORER: FeedbackValues(),
    AgentType.RETRIEVER: FeedbackValues(CORRECTED=-1.0),
}
