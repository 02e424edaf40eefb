"""The process that trains: `python -m core.training.worker FOLDER/spec.json`.

It reads one `TrainingSpec`, appends to `progress.jsonl`, and ends with `trained.json`, or with exit status 1 and its
error as JSON on the pipe its parent gave it: a full disk can still be told. Killed at any moment and started again, it
goes on from its last checkpoint.
"""

import argparse
import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from core.checkpoint import Checkpoint
from core.errors import OvernightError
from core.training.backends import backend_of, need_backend
from core.training.spec import TrainingSpec

EXIT_ORPHAN = 3


def main() -> int:
    """Train what the spec says; the parent reads files, not this process's output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="end when this process ends")
    parser.add_argument("--errors", type=int, help="descriptor of the pipe that takes an error")
    parser.add_argument("--rank", type=int, default=0, help="which of the spec's processes this is")
    parser.add_argument("--meeting", type=Path, help="the file where several processes meet")
    arguments = parser.parse_args()
    _die_with(arguments.parent)
    spec = TrainingSpec.model_validate_json(arguments.spec.read_text(encoding="utf-8"))
    try:
        if arguments.meeting:
            _join(arguments.rank, spec.settings.processes, arguments.meeting)
        train_here(spec)
    except OvernightError as error:
        return _fail(error, arguments.errors)
    return 0


def train_here(spec: TrainingSpec) -> Checkpoint:
    """Run one training stage in this process and publish its checkpoint. Raises: OvernightError."""
    from core.training.full import memory_may_run_out  # noqa: PLC0415  (torch)

    need_backend(spec.settings, spec.adapter)
    with memory_may_run_out(spec.settings):
        return backend_of(spec.settings).train(spec)


def _join(rank: int, processes: int, meeting: Path) -> None:
    from core.training.ranks import join  # noqa: PLC0415  (torch)

    join(rank, processes, meeting)


def _fail(error: OvernightError, pipe: int | None) -> int:
    if pipe is not None:
        os.write(pipe, json.dumps({"error": type(error).__name__, "message": str(error)}).encode() + b"\n")
    with suppress(OSError):  # the log may lie on a disk that is full
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    return 1


def _die_with(parent: int) -> None:
    """End this process within a second when its parent is gone, also when the parent was killed with SIGKILL."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(EXIT_ORPHAN)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
