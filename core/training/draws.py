"""Where a batch's completions come from: the rows, or the policy as it is at that step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.training.data import TrainingGroup


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch as it is trained on."""

    groups: Sequence[TrainingGroup]
    weight: float = 1.0
    """What the batch's mean is multiplied by: those who add nothing to it count in it."""
    counted: int | None = None
    """What the batch's mean is over, those who add nothing included; None: what the method counts."""
    curves: Mapping[str, float] = field(default_factory=dict)


class Draws(Protocol):
    """Turns the groups of a batch into those that are trained on."""

    def batch(self, groups: Sequence[TrainingGroup], step: int) -> Drawn:
        """The groups of one optimizer step, or of a part of it."""

    def held_out(self, groups: Sequence[TrainingGroup]) -> Sequence[TrainingGroup]:
        """The groups that are looked at."""


class Given:
    """Completions that were in the rows."""

    def batch(self, groups: Sequence[TrainingGroup], step: int) -> Drawn:
        """As they are."""
        del step
        return Drawn(groups)

    def held_out(self, groups: Sequence[TrainingGroup]) -> Sequence[TrainingGroup]:
        """As they are."""
        return groups
