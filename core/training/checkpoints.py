"""Checkpoints a killed run can trust: a folder counts only when every file in it is whole."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelError
from core.files import file_digest, make_folder, new_folder, write_json, writing

CHECKPOINTS = "checkpoints"
"""The folder, within a stage's, of what a killed run goes on from; it goes when training is done."""
SEAL = "complete.json"
BEST = "best.json"
START = "start"
"""The checkpoint before the first step."""


def seal(folder: Path) -> None:
    """Write down the digest of every file in a checkpoint folder; from now on it counts."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    write_json(folder / SEAL, {str(path.relative_to(folder)): file_digest(path) for path in files})


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint folder is sealed and every file is as it was then."""
    try:
        digests: dict[str, str] = json.loads((folder / SEAL).read_text())
        return all(file_digest(folder / name) == digest for name, digest in digests.items())
    except (OSError, ValueError):
        return False


def found_checkpoints(folder: Path) -> list[tuple[Path, int]]:
    """The checkpoints in a folder and their steps, the newest first and the start last; some may be cut short."""
    steps = [(path, int(path.name.rpartition("-")[2])) for path in folder.glob("checkpoint-*")]
    start = [(folder / START, 0)] if (folder / START).is_dir() else []
    return sorted(steps, key=lambda found: found[1], reverse=True) + start


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in a folder; the ones cut short are removed."""
    for path, _ in found_checkpoints(folder):
        if is_whole(path):
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def keep_start(checkpoint: Path) -> None:
    """Give the checkpoint of step 0 a name of its own: it is not removed when newer ones come."""
    checkpoint.rename(checkpoint.with_name(START))


@dataclass(frozen=True, slots=True)
class Best:
    """The best checkpoint so far, by a held-out figure of which less is better."""

    folder: Path
    step: int
    value: float
    metrics: dict[str, float]


def read_best(folder: Path) -> Best | None:
    """The best checkpoint a training folder holds. Raises: ModelError when one was cut short."""
    found = [path for path, _, _ in _candidates(folder)]
    for path in found:
        if not is_whole(path):
            raise ModelError(
                f"the best checkpoint in {path} was cut short or changed: delete {folder} and train again"
            )
    return min(map(_best, found), key=lambda best: best.value, default=None)


def keep_best(  # noqa: PLR0917
    folder: Path,
    step: int,
    value: float,
    metrics: Mapping[str, float],
    save: Callable[[Path], None],
    course: int = 0,
) -> Best:
    """Publish a new best checkpoint beside the one it beats, and remove those before. Raises: StorageError.

    The beaten one stays because the next step may say that the new one is no good (`drop_best`). A run that went back
    comes to the same step again: `course` counts its courses.
    """
    parent = make_folder(folder / "best")
    target = parent / f"step-{step:06d}-{course}"
    with new_folder(target) as stage:
        save(stage)
        write_json(stage / BEST, {"step": step, "value": value, "metrics": dict(metrics)})
        seal(stage)
    ranked = sorted((path for path, _, _ in _candidates(folder)), key=lambda path: _best(path).value)
    for path in ranked[2:]:
        _remove(path)
    return Best(target, step, value, dict(metrics))


def drop_best(folder: Path, step: int, course: int) -> None:
    """Remove what a course published from a step on; the start, which no step can spoil, stays. Raises: StorageError."""
    for path, published, of in _candidates(folder):
        if of == course and published >= max(step, 1):
            _remove(path)


def _candidates(folder: Path) -> list[tuple[Path, int, int]]:
    """The best checkpoints in a folder, each with its step and the course that came to it."""
    found = [(path, path.name.split("-")) for path in sorted((folder / "best").glob("step-*"))]
    return [(path, int(parts[1]), int(parts[2])) for path, parts in found]


def _remove(path: Path) -> None:
    """Move a checkpoint aside, so that it goes at once: what a kill leaves of it has no name that counts."""
    aside = path.with_name(f".{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    with writing(path):
        path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _best(folder: Path) -> Best:
    values = json.loads((folder / BEST).read_text())
    return Best(folder, values["step"], values["value"], values["metrics"])
