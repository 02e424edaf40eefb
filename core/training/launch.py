"""Training as a child process: it can be killed, it dies with its parent, and it goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from core import errors
from core.checkpoint import Checkpoint
from core.config import ROOT
from core.errors import InterruptedTraining, OvernightError, TrainingError
from core.files import make_folder, write_json
from core.training.progress import PROGRESS, TrainingProgress, parse_progress
from core.training.spec import TrainingSpec

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0
OnProgress = Callable[[TrainingProgress], None]


def ignore(progress: TrainingProgress) -> None:
    """Listen to nothing."""
    del progress


def train(spec: TrainingSpec, on_progress: OnProgress = ignore) -> Checkpoint:
    """Train in a process group of its own and return the checkpoint; a finished folder is not trained again.

    `on_progress` gets every line as it is written. Whatever ends this call ends the process group.
    Raises: what stopped the worker, as the same OvernightError; TrainingError when the worker itself died.
    """
    folder = make_folder(Path(spec.folder))
    if not spec.result.is_file():
        spec.error.unlink(missing_ok=True)
        write_json(folder / "spec.json", spec.model_dump())
        _run(spec, folder, on_progress)
    return Checkpoint.model_validate_json(spec.result.read_text(encoding="utf-8"))


def _run(spec: TrainingSpec, folder: Path, on_progress: OnProgress) -> None:
    lines = _Lines(folder / PROGRESS)
    with (folder / "worker.log").open("ab") as log:
        command = [sys.executable, "-m", "core.training.worker", str(folder / "spec.json")]
        child = subprocess.Popen(
            [*command, "--parent", str(os.getpid())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )
        try:
            while child.poll() is None:
                time.sleep(_POLL_SECONDS)
                lines.deliver(on_progress)
            lines.deliver(on_progress)
        finally:
            _end(child)
    if child.returncode != 0:
        raise _error(spec, child.returncode)


class _Lines:
    """The lines that are added to a file from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.is_file() else 0
        self._rest = b""

    def deliver(self, on_progress: OnProgress) -> None:
        """Hand over what was added since the last call, whole lines only."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        self._offset += len(added)
        *whole, self._rest = (self._rest + added).split(b"\n")
        for line in whole:
            progress = parse_progress(line.decode(errors="replace"))
            if progress is not None:
                on_progress(progress)


def _end(child: subprocess.Popen[bytes]) -> None:
    for ending in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            os.killpg(child.pid, ending)
            try:
                child.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def _error(spec: TrainingSpec, status: int) -> OvernightError:
    """What the worker wrote down, else what can be said about how it ended."""
    if spec.error.is_file():
        told = json.loads(spec.error.read_text(encoding="utf-8"))
        kind = getattr(errors, told["error"], TrainingError)
        return kind(told["message"])
    log = Path(spec.folder) / "worker.log"
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; if memory ran out, raise gradient_accumulation_steps" if status == -signal.SIGKILL else ""
        return InterruptedTraining(
            f"the training process in {spec.folder} was ended by {name}: run it again and it goes on{hint}"
        )
    last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
    return TrainingError(f"the training process in {spec.folder} failed ({last}): see {log}")
