"""What a training process tells while it works: one JSON line an event, appended, never rewritten."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from core.files import writing
from core.record import Record

PROGRESS = "progress.jsonl"
SECONDS_LEFT = "seconds_left"
_NOT_SHOWN = {SECONDS_LEFT, "tokens_per_second", "learning_rate"}

Phase = Literal["loading", "reference", "train", "eval", "rollback", "done"]


class TrainingProgress(Record):
    """One line: where training stands, and what was measured there."""

    phase: Phase
    step: int
    total_steps: int
    metrics: dict[str, float] = Field(default_factory=dict)
    time: float
    """Seconds since 1970."""
    said: str = ""
    """A sentence for a person, where there is something to say."""


def append_progress(
    folder: Path,
    phase: Phase,
    step: int,
    total_steps: int,
    *,
    metrics: Mapping[str, float] | None = None,
    said: str = "",
) -> None:
    """Add one line to a training folder's progress; figures that are no numbers are left out. Raises: StorageError."""
    finite = {name: float(value) for name, value in (metrics or {}).items() if math.isfinite(value)}
    line = TrainingProgress(
        phase=phase, step=step, total_steps=total_steps, metrics=finite, time=time.time(), said=said
    )
    with writing(folder / PROGRESS), (folder / PROGRESS).open("a", encoding="utf-8") as file:
        file.write(line.model_dump_json() + "\n")


def parse_progress(line: str) -> TrainingProgress | None:
    """One line, or None where a killed process left half of one."""
    try:
        return TrainingProgress.model_validate(json.loads(line))
    except (ValueError, ValidationError):
        return None


def read_progress(folder: Path) -> list[TrainingProgress]:
    """A training folder's curves in the order of their steps.

    A resumed run does some steps again; the line written last stands for each step. Of a course that was given up only
    the looks stay: the best checkpoint may be one of them.
    """
    path = folder / PROGRESS
    latest: dict[tuple[str, int], TrainingProgress] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        line = parse_progress(text)
        if line is None:
            continue
        if line.phase == "rollback":
            for step in [step for phase, step in latest if phase == "train" and step > line.step]:
                del latest["train", step]
        latest[line.phase, line.step] = line
    return sorted(latest.values(), key=lambda line: (line.step, line.time))


def in_words(at: TrainingProgress) -> str:
    """A line for a person who watches: where it stands, how fast it goes, how long it will take, a few figures."""
    if at.said:
        return at.said
    rate, left = at.metrics.get("tokens_per_second"), at.metrics.get(SECONDS_LEFT)
    parts = [f"{at.phase}, step {at.step} of {at.total_steps}"]
    if rate is not None:
        parts.append(f"{rate:.0f} tokens/s")
    if left is not None:
        parts.append(f"{_clock(left)} left")
    shown = [(name, value) for name, value in sorted(at.metrics.items()) if name not in _NOT_SHOWN]
    figures = ", ".join(f"{name} {value:.3g}" for name, value in shown[:4])
    return ", ".join(parts) + (f": {figures}" if figures else "")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
