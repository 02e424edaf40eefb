"""Training as a child process: it can be killed, it dies with its parent, and it goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
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
Child = subprocess.Popen[bytes]
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
        _run(folder, spec.settings.processes, on_progress)
    return Checkpoint.model_validate_json(spec.result.read_text(encoding="utf-8"))


def _run(folder: Path, processes: int, on_progress: OnProgress) -> None:
    lines = _Lines(folder / PROGRESS)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as told, tempfile.TemporaryDirectory(prefix="overnight-") as meeting:
        children: list[Child] = []
        try:
            try:
                for rank in range(processes):
                    children.append(_start(folder, writer, children, _rank(rank, processes, meeting)))
            finally:
                os.close(writer)
            while _going(children):
                time.sleep(_POLL_SECONDS)
                lines.deliver(on_progress)
            lines.deliver(on_progress)
            statuses = [child.returncode or 0 for child in children]
        finally:
            _end(children)
        if any(statuses):
            raise _error(folder, min(statuses) or max(statuses), told.read())


def _rank(rank: int, processes: int, meeting: str) -> list[str]:
    """What tells a worker that it is one of several."""
    return [] if processes == 1 else ["--rank", str(rank), "--meeting", f"{meeting}/meeting"]


def _going(children: Sequence[Child]) -> bool:
    """Whether all goes well and is not done: one that failed leaves the others waiting."""
    statuses = [child.poll() for child in children]
    return None in statuses and not any(statuses)


def _start(folder: Path, errors_to: int, others: Sequence[Child], rank: Sequence[str]) -> Child:
    """A worker, with an end of a pipe for its error: a file could not be written on a full disk."""
    command = [sys.executable, "-m", "core.training.worker", str(folder / "spec.json"), *rank]
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [*command, "--parent", str(os.getpid()), "--errors", str(errors_to)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(errors_to,),
            process_group=others[0].pid if others else 0,
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


def _end(children: Sequence[Child]) -> None:
    """End what is left of the process group, which has the first one's number."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        left = [child for child in children if child.poll() is None]
        if left:
            os.killpg(children[0].pid, ending)
        for child in left:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE_SECONDS)


def _error(folder: Path, status: int, told: bytes) -> OvernightError:
    """What the worker said, else what can be said about how it ended."""
    if told:
        said = json.loads(told.splitlines()[0])
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
