"""What some optimizer steps of a `transformers.Trainer` cost and gave: ours and TRL's are measured by the same clock."""

import random
import time
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainerCallback

from core.training.data import TrainingGroup


@dataclass(frozen=True, slots=True)
class Steps:
    """What some optimizer steps cost, and their losses and gradient norms."""

    cpu_seconds: float
    losses: list[float]
    norms: list[float]


@dataclass
class Clock(TrainerCallback):
    """CPU time from the begin of the first step to the end of the last, without setting up and saving."""

    moments: list[float] = field(default_factory=list)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """A step begins: its groups are scored, then learned from."""
        self.moments.append(time.process_time())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The weights have moved."""
        self.moments.append(time.process_time())

    @property
    def spent(self) -> float:
        """CPU-seconds."""
        return self.moments[-1] - self.moments[0]


def drift(group: TrainingGroup) -> list[float]:
    """How far the old policy's log-probabilities are from the starting policy's, token by token."""
    stream = random.Random(group.id)
    return [stream.gauss(0, 0.3) for completion in group.tokens.completions for _ in completion]
