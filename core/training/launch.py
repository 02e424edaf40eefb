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

LOG = "worker.log"
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
        write_json(folder / "spec.json", spec.model_dump())
        _run(folder, on_progress)
    return Checkpoint.model_validate_json(spec.result.read_text(encoding="utf-8"))


def _run(folder: Path, on_progress: OnProgress) -> None:
    lines = _Lines(folder / PROGRESS)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as told:
        try:
            child = _start(folder, writer)
        finally:
            os.close(writer)
        try:
            while child.poll() is None:
                time.sleep(_POLL_SECONDS)
                lines.deliver(on_progress)
            lines.deliver(on_progress)
        finally:
            _end(child)
        if child.returncode != 0:
            raise _error(folder, child.returncode, told.read())


def _start(folder: Path, errors_to: int) -> subprocess.Popen[bytes]:
    """The worker, with an end of a pipe for its error: a file could not be written on a full disk."""
    command = [sys.executable, "-m", "core.training.worker", str(folder / "spec.json")]
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [*command, "--parent", str(os.getpid()), "--errors", str(errors_to)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(errors_to,),
            process_group=0,
        )


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


def _error(folder: Path, status: int, told: bytes) -> OvernightError:
    """What the worker said, else what can be said about how it ended."""
    if told:
        said = json.loads(told)
        kind = getattr(errors, said["error"], TrainingError)
        return kind(said["message"])
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; if memory ran out, raise gradient_accumulation_steps" if status == -signal.SIGKILL else ""
        return InterruptedTraining(
            f"the training process in {folder} was ended by {name}: run it again and it goes on{hint}"
        )
    log = folder / LOG
    last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
    return TrainingError(f"the training process in {folder} failed ({last}): see {log}")
