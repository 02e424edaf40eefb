"""Going back: a run whose figures can't be trusted goes on from an earlier checkpoint with half the learning rate.

The halving is a function of the step, written down beside the checkpoints, so that a run that is killed and started again
takes the same course. A wall at step n was measured on the weights of step n - 1: the checkpoint of that step is bad too,
and would meet the same wall whatever the learning rate is. Nor is it published, however good it looked on held-out groups.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from core.files import write_json
from core.record import Record
from core.training.checkpoints import drop_best, found_checkpoints, latest_checkpoint
from core.training.config import GrpoSettings, MethodSettings, PpoSettings
from core.training.diverged import no_number

ROLLBACKS = "rollbacks.json"
HALVED = 0.5


class Wall(Exception):  # noqa: N818  (it ends a course, not the run)
    """The first step that can't be taken, and why: what the trainer tells itself, never seen outside."""

    def __init__(self, step: int, reason: str, *, kl: bool = False) -> None:
        """`kl`: the weights are too far from their start, and still numbers."""
        super().__init__(reason)
        self.step, self.reason, self.kl = step, reason, kl


class Rollback(Record):
    """One time that a run went back."""

    wall: int
    """The step that could not be taken."""
    to: int
    """The step whose weights, optimizer, order and random state it went on from."""
    reason: str

    @property
    def said(self) -> str:
        """A sentence for a person."""
        return f"went back from step {self.wall} to step {self.to} and on with half the learning rate: {self.reason}"


def read_rollbacks(folder: Path) -> tuple[Rollback, ...]:
    """How often a training folder's run went back, in order."""
    path = folder / ROLLBACKS
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return TypeAdapter(tuple[Rollback, ...]).validate_python(found)


def roll_back(folder: Path, checkpoints: Path, wall: Wall) -> Rollback | None:
    """Remove what can't be trusted and write down where to go on; None when nothing is left to go back to.

    Removed first: a run killed in between meets the wall again and decides the same. Raises: StorageError.
    """
    for path, step in found_checkpoints(checkpoints):
        if step >= wall.step - 1:
            shutil.rmtree(path, ignore_errors=True)
    target = latest_checkpoint(checkpoints)
    if target is None:
        return None
    made = Rollback(wall=wall.step, to=dict(found_checkpoints(checkpoints))[target], reason=wall.reason)
    write_json(folder / ROLLBACKS, [one.model_dump() for one in (*read_rollbacks(folder), made)])
    return made


def distrust(folder: Path, wall: Wall) -> None:
    """Make what was the best before it the best again where a wall was measured on its weights. Raises: StorageError."""
    drop_best(folder, wall.step - 1, course=len(read_rollbacks(folder)))


def slowed(factor: Callable[[int], float], rollbacks: Sequence[Rollback]) -> Callable[[int], float]:
    """A learning rate's course, halved for each rollback from the step on that it went back to."""

    def halved(step: int) -> float:
        return factor(step) * HALVED ** sum(rollback.to <= step for rollback in rollbacks)

    return halved


def set_rates(scheduler: LambdaLR) -> None:
    """Compute the next step's learning rates from the scheduler's own course, whatever the optimizer was loaded with."""
    rates = [
        rate * factor(scheduler.last_epoch)
        for rate, factor in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    scheduler._last_lr = rates  # noqa: SLF001
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def check_figures(step: int, logs: Mapping[str, float]) -> None:
    """Raises: Wall when a step's loss or gradient is no number."""
    if (reason := no_number(step, logs)) is not None:
        raise Wall(step, reason)


def check_kl(step: int, curves: Mapping[str, float], settings: MethodSettings) -> None:
    """Raises: Wall when a step found the weights before it too far from their start (nats)."""
    if not is_near(curves, settings):
        reason = f"the KL to the starting policy was {curves['kl']:.3f} at step {step}, above max_kl {_limit(settings)}"
        raise Wall(step, reason, kl=True)


def is_near(figures: Mapping[str, float], settings: MethodSettings) -> bool:
    """Whether weights are as near to their start as `max_kl` asks: those that are not are never published."""
    limit = _limit(settings)
    return limit is None or figures.get("kl", 0.0) <= limit


def _limit(settings: MethodSettings) -> float | None:
    return settings.max_kl if isinstance(settings, GrpoSettings | PpoSettings) else None


def check_weights(step: int, model: nn.Module) -> None:
    """Raises: Wall when the weights after a step, which are to be looked at or saved, are no numbers."""
    if not all(value.isfinite().all() for value in model.parameters() if value.requires_grad):
        raise Wall(step + 1, f"the weights became no numbers at step {step}")
