"""What a decision was worth: components by their weights, some of them long awaited."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import mul
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from core.decision import AgentType
from core.document import Unreadable
from core.errors import ConfigError
from core.files import digest
from core.record import Settings
from core.reward_weights import FEEDBACK, WEIGHTS, FeedbackValues, Group

CODE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
"""Digest of this module's source: which code computed a reward."""
WITH_OUTCOME = ("delayed", "strategic")
"""Groups that nothing more comes for once the outcome is there."""
FROM_FEEDBACK = ("userFeedback", "userAcceptance")
"""Components that the user's feedback stands for where the app gave no number."""
LARGEST = 5.0
"""The raw total lies within plus and minus this."""
LARGEST_COMPONENT = 1e6
"""A component beyond plus or minus this is no observation: squared and summed over a page, it stays far from infinity."""


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

    @property
    def last_deadline(self) -> timedelta:
        """How long after a decision something of its reward may still come."""
        return timedelta(days=max(self.deadline_days.model_dump().values()))

    def stored(self) -> dict[str, Any]:
        """The same as a document whose key order says nothing: jsonb keeps none."""
        rest = self.model_dump(mode="json", exclude={"weights"})
        weights = {str(agent): self.parts(agent) for agent in self.weights}
        return rest | {"weights": weights}

    @property
    def sha256(self) -> str:
        """One digest over all of it, orders included."""
        return digest(self.stored())


Status = Literal["pending", "final"]
FLOATS, NOTHING = frozenset({float}), frozenset({NoneType})


class Reward(NamedTuple):
    """What one decision was worth, as far as it is known."""

    status: Status
    values: list[float | None]
    """Of the components in the order of the spec; None where it is not known."""
    awaited: tuple[int, ...]
    """Places of those not known that may still come."""
    total: float | None
    """The weighted sum of what is known, clamped to [-5, 5]; None where nothing is, which is no reward of 0."""
    normalized: float | None
    """clamp((total + 2) / 4) in [0, 1]."""
    due_at: datetime | None
    """The next deadline of a component that is awaited."""

    @property
    def components(self) -> Sequence[float | str | None]:
        """In the order of the spec: the value where it is known, else 'pending', or 'missed' when its time is over."""
        if None not in self.values:
            return self.values
        return [
            ("pending" if place in self.awaited else "missed") if value is None else value
            for place, value in enumerate(self.values)
        ]


class Scorer:
    """Decisions to rewards by one spec."""

    def __init__(self, spec: RewardSpec) -> None:
        self._plans = {str(agent): _plan(spec, agent) for agent in spec.weights}
        self.names = {agent: plan.names for agent, plan in self._plans.items()}
        """Of the components by agent type, in the order of the spec."""

    def score(
        self,
        agent_type: str,
        components: Mapping[str, Any] | None,
        feedback: str | None,
        *,
        created_at: datetime,
        outcome_at: datetime | None,
        as_of: datetime,
    ) -> Reward:
        """A decision's reward as of a moment.

        What is missing is awaited until its group's deadline, or until the outcome is there. Raises: Unreadable for
        an agent type without weights, and for a component that is no finite number, or one beyond `LARGEST_COMPONENT`.
        """
        if (plan := self._plans.get(agent_type)) is None:
            raise Unreadable("unknown_agent_type", f"no weights for {agent_type}: add them, or leave it out")
        values = _values(plan, components, feedback)
        kinds = set(map(type, values))
        if kinds != FLOATS:
            values = _numbers(plan, values)
        if math.hypot(*filter(None, values)) > LARGEST_COMPONENT:  # never less than the largest of them
            _check_range(plan, values)
        total = 0.0
        if NoneType not in kinds:
            for product in map(mul, plan.weights, values):
                total += product
        else:
            for weight, value in zip(plan.weights, values, strict=True):
                if value is not None:
                    total += weight * value
        if not -LARGEST <= total <= LARGEST:
            if not math.isfinite(total):
                raise _not_finite(plan, values)
            total = math.copysign(LARGEST, total)
        if NoneType not in kinds:
            return Reward("final", values, (), total, normalize(total), None)
        awaited, due_at = _awaited(plan, values, created_at, outcome_at, as_of)
        status: Status = "pending" if awaited else "final"
        if kinds == NOTHING:
            return Reward(status, values, awaited, None, None, due_at)
        return Reward(status, values, awaited, total, normalize(total), due_at)


def normalize(total: float) -> float:
    """A raw total in [0, 1]."""
    share = (total + 2.0) / 4.0
    return 0.0 if share < 0 else 1.0 if share > 1 else share


@dataclass(frozen=True, slots=True)
class _Plan:
    """One agent type's components, laid out for the millions: parallel tuples in the order of the spec."""

    groups: tuple[tuple[Group, tuple[str, ...]], ...]
    names: tuple[str, ...]
    weights: tuple[float, ...]
    waits: tuple[timedelta, ...]
    with_outcome: tuple[bool, ...]
    feedback: Mapping[str, float]
    feedback_places: tuple[int, ...]


def _plan(spec: RewardSpec, agent: AgentType) -> _Plan:
    parts = spec.parts(agent)
    names = tuple(name for _, name, _ in parts)
    return _Plan(
        groups=tuple((group, tuple(weights)) for group, weights in spec.weights[agent].items()),
        names=names,
        weights=tuple(weight for *_, weight in parts),
        waits=tuple(timedelta(days=getattr(spec.deadline_days, group)) for group, *_ in parts),
        with_outcome=tuple(group in WITH_OUTCOME for group, *_ in parts),
        feedback=spec.feedback[agent].model_dump(),
        feedback_places=tuple(place for place, name in enumerate(names) if name in FROM_FEEDBACK),
    )


def _values(plan: _Plan, components: Mapping[str, Any] | None, feedback: str | None) -> list[Any]:
    """What the app gave for each component, and the feedback's value where it gave none. Raises: Unreadable."""
    if components is None:
        components = {}
    elif not isinstance(components, dict):
        raise Unreadable("bad_component", f"components are {str(components)[:40]!r}, not an object")
    values: list[Any] = []
    for group, names in plan.groups:
        held = components.get(group)
        if isinstance(held, dict):
            values.extend(map(held.get, names))
        elif held is None:
            values.extend([None] * len(names))
        else:
            raise Unreadable(
                "bad_component", f"components.{group} is {str(held)[:40]!r}, not an object of numbers"
            )
    if feedback is not None:
        for place in plan.feedback_places:
            if values[place] is None:
                values[place] = plan.feedback[feedback]
    return values


def _numbers(plan: _Plan, values: list[Any]) -> list[float | None]:
    """Whole numbers as floats; true, '1' and [1] are no numbers. Raises: Unreadable."""
    for name, value in zip(plan.names, values, strict=True):
        if value is not None and type(value) is not float and type(value) is not int:
            raise Unreadable("bad_component", f"component {name} is {str(value)[:40]!r}, not a number")
    try:
        return [None if value is None else float(value) for value in values]
    except OverflowError as error:
        raise Unreadable("non_finite", "a component is larger than any float") from error


def _not_finite(plan: _Plan, values: list[float | None]) -> Unreadable:
    for name, value in zip(plan.names, values, strict=True):
        if value is not None and not math.isfinite(value):
            return Unreadable("non_finite", f"component {name} is {value}")
    return Unreadable("non_finite", "the weighted sum of the components is larger than any float")


def _check_range(plan: _Plan, values: list[float | None]) -> None:
    """Raises: Unreadable for the first component that is infinite, or too large for an observation."""
    for name, value in zip(plan.names, values, strict=True):
        if value is not None and abs(value) > LARGEST_COMPONENT:
            if math.isinf(value):
                raise _not_finite(plan, values)
            limit = f"{LARGEST_COMPONENT:,.0f}"
            raise Unreadable(
                "out_of_range", f"component {name} is {value}: it must lie between -{limit} and {limit}"
            )


def _awaited(
    plan: _Plan,
    values: list[float | None],
    created_at: datetime,
    outcome_at: datetime | None,
    as_of: datetime,
) -> tuple[tuple[int, ...], datetime | None]:
    """The places of what may still come of the values that are not known, and the next deadline."""
    deadlines = {}
    for place, value in enumerate(values):
        if value is None and not (outcome_at is not None and plan.with_outcome[place]):
            deadline = created_at + plan.waits[place]
            if deadline > as_of:
                deadlines[place] = deadline
    return tuple(deadlines), min(deadlines.values(), default=None)
