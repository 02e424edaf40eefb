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
from itertools import dropwhile
from pathlib import Path

from pydantic import ValidationError

from core import errors
from core.checkpoint import Checkpoint
from core.config import ROOT
from core.errors import ConfigError, InterruptedTraining, OvernightError, TrainingError, one_line
from core.files import locked, make_folder, write_json
from core.training.progress import PROGRESS, TrainingProgress, parse_progress
from core.training.spec import TrainingSpec

LOG = "worker.log"
SPEC = "spec.json"
LOCK = ".training.lock"
"""Held by whoever trains in a folder; a stage holds another while it works."""
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0
Child = subprocess.Popen[bytes]
OnProgress = Callable[[TrainingProgress], None]


def ignore(progress: TrainingProgress) -> None:
    """Listen to nothing."""
    del progress


def train(spec: TrainingSpec, on_progress: OnProgress = ignore) -> Checkpoint:
    """Train in a process group of its own and return the checkpoint; a finished folder is not trained again.

    `on_progress` gets every line as it is written. Whatever ends this call ends the process group. A second call for the
    same folder waits for the first. Raises: what stopped the worker, as the same OvernightError; TrainingError when the
    worker itself died; ConfigError where the folder is another run's.
    """
    folder = make_folder(Path(spec.folder))
    with locked(folder / LOCK) as lock:
        _need_own_folder(folder, spec)
        if not spec.result.is_file():
            write_json(folder / SPEC, spec.model_dump())
            _run(folder, spec.settings.processes, on_progress, lock)
        return Checkpoint.model_validate_json(spec.result.read_text(encoding="utf-8"))


def _need_own_folder(folder: Path, spec: TrainingSpec) -> None:
    """Another run's checkpoints are nothing to go on from, nor its result this one's. Raises: ConfigError."""
    if not (folder / SPEC).is_file():
        return
    try:
        there = TrainingSpec.model_validate_json((folder / SPEC).read_text(encoding="utf-8")).asked
    except ValidationError:
        there = {"its spec.json": "of another version"}
    here = spec.asked
    for name in (name for name in {**there, **here} if there.get(name) != here.get(name)):
        differs = one_line(
            f"{name} is {there.get(name, 'not set')} there and {here.get(name, 'not set')} here"
        )
        raise ConfigError(
            f"{folder} holds another run ({differs}): give this one a folder of its own, or delete that"
        )


def _run(folder: Path, processes: int, on_progress: OnProgress, lock: int) -> None:
    lines = _Lines(folder / PROGRESS)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as told, tempfile.TemporaryDirectory(prefix="overnight-") as meeting:
        children: list[Child] = []
        try:
            try:
                for rank in range(processes):
                    rest = _rank(rank, processes, meeting)
                    children.append(_start(folder, (writer, lock), children, rest))
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


def _start(folder: Path, held: tuple[int, int], others: Sequence[Child], rank: Sequence[str]) -> Child:
    """A worker, with an end of a pipe for its error: a file could not be written on a full disk.

    It holds the folder's lock as long as it lives, also where whoever started it was killed.
    """
    command = [sys.executable, "-m", "core.training.worker", str(folder / SPEC), *rank]
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [*command, "--parent", str(os.getpid()), "--errors", str(held[0])],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=held,
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
    said = last_words(log.read_text(errors="replace").strip().splitlines())
    return TrainingError(f"the training process in {folder} failed ({said}): see {log}")


def last_words(lines: Sequence[str]) -> str:
    """The whole message of the exception that ended a process, on one line; without one, its last line."""
    traces = [
        place for place, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")
    ]
    if not traces:
        return lines[-1] if lines else "no output"
    return one_line(" ".join(dropwhile(lambda line: line.startswith(" "), lines[traces[-1] + 1 :])))
