"""What a decision was worth: components by their weights, some of them long awaited."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from core.decision import AgentType, Unreadable
from core.errors import ConfigError
from core.files import digest
from core.record import Settings

CODE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
"""Digest of this module's source: which code computed a reward."""
Group = Literal["immediate", "delayed", "strategic", "contextual", "accuracy", "quality"]
"""What is known at once, what the outcome shows, and what else an agent is held to."""
WITH_OUTCOME = ("delayed", "strategic")
"""Groups that nothing more comes for once the outcome is there."""
FROM_FEEDBACK = ("userFeedback", "userAcceptance")
"""Components that the user's feedback stands for where the app gave no number."""
LARGEST = 5.0
"""The raw total lies within plus and minus this."""
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


def _days(count: float) -> Any:
    return Field(default=count, ge=0, le=36_500)


class DeadlineDays(Settings):
    """How many days after a decision a group's components are awaited."""

    immediate: float = _days(7)
    delayed: float = _days(30)
    strategic: float = _days(90)
    contextual: float = _days(7)
    accuracy: float = _days(7)
    quality: float = _days(7)


class RewardSpec(Settings):
    """A version of what rewards are made of. The order of the weights is the order of the sum."""

    version: str = Field(min_length=1)
    """Raise it with every other change: a version stands for what was computed by it."""
    weights: Mapping[AgentType, Mapping[Group, Mapping[str, float]]] = WEIGHTS
    feedback: Mapping[AgentType, FeedbackValues] = FEEDBACK
    deadline_days: DeadlineDays = DeadlineDays()

    @model_validator(mode="after")
    def _whole(self) -> "RewardSpec":
        if missing := [agent for agent in self.weights if agent not in self.feedback]:
            raise ConfigError(f"feedback has no values for {', '.join(missing)}: add them")
        for agent in self.weights:
            names = [name for _, name, _ in self.parts(agent)]
            if not names or len(names) != len(set(names)):
                raise ConfigError(
                    f"{agent} needs components, each named once, and has {', '.join(names) or 'none'}"
                )
        return self

    def parts(self, agent_type: AgentType) -> list[tuple[Group, str, float]]:
        """An agent type's components in their order: group, name, weight."""
        groups = self.weights[agent_type].items()
        return [(group, name, weight) for group, weights in groups for name, weight in weights.items()]

    def stored(self) -> dict[str, Any]:
        """The same as a document whose key order says nothing: jsonb keeps none."""
        rest = self.model_dump(mode="json", exclude={"weights"})
        weights = {str(agent): self.parts(agent) for agent in self.weights}
        return rest | {"weights": weights}

    @property
    def sha256(self) -> str:
        """One digest over all of it, orders included."""
        return digest(self.stored())


Part = tuple[str, float | None, Literal["observed", "pending", "missed"]]
"""One component: its name, its value where it was observed, and its status."""


@dataclass(frozen=True, slots=True)
class Reward:
    """What one decision was worth, as far as it is known."""

    status: Literal["pending", "final"]
    components: list[Part]
    """In the order of the spec."""
    total: float
    """The weighted sum of what was observed, clamped to [-5, 5]."""
    normalized: float
    """clamp((total + 2) / 4) in [0, 1]."""
    due_at: datetime | None
    """The next deadline of a component that is awaited."""


class Scorer:
    """Decisions to rewards by one spec."""

    def __init__(self, spec: RewardSpec) -> None:
        self._groups = {str(agent): _groups(spec, agent) for agent in spec.weights}
        self._feedback = {str(agent): values.model_dump() for agent, values in spec.feedback.items()}

    def score(
        self,
        agent_type: str,
        components: Mapping[str, Any] | None,
        feedback: str | None,
        *,
        created_at: datetime,
        outcome_at: datetime | None,
        as_of: datetime,
    ) -> Reward | None:
        """A decision's reward as of a moment; None where nothing of it is known, which is no reward of 0.

        What is missing is awaited until its group's deadline, or until the outcome is there. Raises: Unreadable for
        an agent type without weights, and for a component that is no finite number.
        """
        if (groups := self._groups.get(agent_type)) is None:
            raise Unreadable("unknown_agent_type", f"no weights for {agent_type}: add them, or leave it out")
        if components is not None and not isinstance(components, dict):
            raise Unreadable("bad_component", f"components are {str(components)[:40]!r}, not an object")
        given = None if feedback is None else self._feedback[agent_type][feedback]
        parts: list[Part] = []
        total, due_at = 0.0, None
        for group, wait, parts_of_group in groups:
            held = _group(components, group)
            for name, weight in parts_of_group:
                value = held.get(name)
                if value is None and given is not None and name in FROM_FEEDBACK:
                    value = given
                if value is not None:
                    value = _number(group, name, value)
                    parts.append((name, value, "observed"))
                    total += weight * value
                elif created_at + wait <= as_of or (outcome_at is not None and group in WITH_OUTCOME):
                    parts.append((name, None, "missed"))
                else:
                    parts.append((name, None, "pending"))
                    due_at = created_at + wait if due_at is None else min(due_at, created_at + wait)
        return _reward(parts, total, due_at)


def score(
    spec: RewardSpec,
    agent_type: str,
    components: Mapping[str, Any] | None,
    feedback: str | None,
    *,
    created_at: datetime,
    outcome_at: datetime | None,
    as_of: datetime,
) -> Reward | None:
    """One decision's reward: as `Scorer.score`, for whoever has few."""
    return Scorer(spec).score(
        agent_type, components, feedback, created_at=created_at, outcome_at=outcome_at, as_of=as_of
    )


def normalize(total: float) -> float:
    """A raw total in [0, 1]."""
    return max(0.0, min(1.0, (total + 2.0) / 4.0))


Groups = list[tuple[Group, timedelta, list[tuple[str, float]]]]


def _groups(spec: RewardSpec, agent: AgentType) -> Groups:
    return [
        (group, timedelta(days=getattr(spec.deadline_days, group)), list(weights.items()))
        for group, weights in spec.weights[agent].items()
    ]


_NOTHING: Mapping[str, Any] = {}


def _group(components: Mapping[str, Any] | None, group: str) -> Mapping[str, Any]:
    held = None if components is None else components.get(group)
    if held is None:
        return _NOTHING
    if not isinstance(held, dict):
        raise Unreadable(
            "bad_component", f"components.{group} is {str(held)[:40]!r}, not an object of numbers"
        )
    return held


def _number(group: str, name: str, value: Any) -> float:
    """A component's value; true, '1' and [1] are none. Raises: Unreadable."""
    if type(value) is not float and type(value) is not int:
        raise Unreadable("bad_component", f"components.{group}.{name} is {str(value)[:40]!r}, not a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise Unreadable("non_finite", f"components.{group}.{name} is {str(value)[:40]}")
    return found


def _reward(parts: list[Part], total: float, due_at: datetime | None) -> Reward | None:
    if all(status != "observed" for _, _, status in parts):
        return None
    if not math.isfinite(total):
        raise Unreadable("non_finite", "the weighted sum of its components is beyond all numbers")
    total = max(-LARGEST, min(LARGEST, total))
    return Reward("final" if due_at is None else "pending", parts, total, normalize(total), due_at)
