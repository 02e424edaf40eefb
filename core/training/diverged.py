"""Figures that are no numbers: how a step is told from one that can be taken, and what a run that ends there says."""

import math
from collections.abc import Mapping
from pathlib import Path

from core.errors import DivergedError
from core.training.checkpoints import Best
from core.training.config import MethodSettings


def no_number(step: int, logs: Mapping[str, float]) -> str | None:
    """Which of a step's figures is none, in words; None where all are."""
    for name, what in (("loss", "loss"), ("grad_norm", "gradient's norm")):
        if not math.isfinite(logs.get(name, 0.0)):
            return f"the {what} became {logs[name]} at step {step}"
    return None


def diverged(
    reason: str, settings: MethodSettings, folder: Path, best: Best | None = None, after: str = ""
) -> DivergedError:
    """The end of a run, `after` what it tried, with what to do and which of its checkpoints is still there."""
    kept = f"; the checkpoint of step {best.step} is in {best.folder}" if best else ""
    return DivergedError(
        f"{reason} of {settings.method} in {folder}{after}: lower learning_rate (now {settings.learning_rate}) or set dtype to "
        f"fp32{kept}"
    )
