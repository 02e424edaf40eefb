"""Folders that appear whole or not at all, under a name that says what is in them."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import ExportError
from core.exporting.results import Published, Release
from core.files import digest, file_digest, make_folder, make_readable, write_json, writing

MANIFEST = "manifest.json"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
"""Suffixes of files that can run code when they are loaded."""
_LOCK = ".lock"


@contextmanager
def staging_folder(root: Path, name: str) -> Iterator[Path]:
    """A folder to build in, on the disk it will be published on; gone afterwards.

    What a killed process left behind is removed first. Raises: StorageError.
    """
    make_folder(root)
    _sweep(root, name)
    with writing(root):
        stage = Path(tempfile.mkdtemp(dir=root, prefix=f".stage-{name}."))
        lock = (stage / _LOCK).open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _sweep(root: Path, name: str) -> None:
    for stale in root.glob(f".stage-{name}.*"):
        try:
            with (stale / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(stale, ignore_errors=True)
        except OSError:  # its process lives, or just started
            continue


def publish_folder(stage: Path, root: Path, name: str, format_: str, facts: dict[str, Any]) -> Published:
    """Move a finished folder to `<root>/<name>-<format>-<digest>`, with a manifest of its files and `facts`.

    The same files again give the same folder; the one that is there stays, unless it was damaged.

    Raises: ExportError for a file that can hold code, StorageError.
    """
    files = _files(stage)
    pickles = [file for file in files if file.endswith(PICKLES)]
    if pickles:
        raise ExportError(
            f"{', '.join(pickles)} can run code when loaded and is not published: save as safetensors"
        )
    sizes = {file: (stage / file).stat().st_size for file in files}
    digests = {file: file_digest(stage / file) for file in files}
    sha256 = digest(digests)
    folder = root / f"{name}-{format_}-{sha256[:12]}"
    if not is_intact_folder(folder):
        entries = {file: {"sha256": digests[file], "bytes": sizes[file]} for file in files}
        write_json(stage / MANIFEST, {"sha256": sha256, "format": format_, "files": entries, **facts})
        with writing(folder):
            _make_durable(stage)
            shutil.rmtree(folder, ignore_errors=True)
            stage.rename(folder)
            _sync(root)
    return Published(format=format_, path=str(folder), sha256=sha256, files=sizes)


def switch_alias(published: Published, name: str) -> Path:
    """Let the link `<name>-<format>` beside a published folder point at it, in one step. Raises: StorageError."""
    folder = Path(published.path)
    alias = folder.parent / f"{name}-{published.format}"
    link = alias.with_name(f".{alias.name}.{os.getpid()}")
    with writing(alias):
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(alias)
        _sync(folder.parent)
    return alias


def verify_folder(folder: Path) -> list[str]:
    """The files of a published folder that are changed, missing or not in its manifest; empty when it is intact.

    Raises: ExportError when there is no manifest.
    """
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{folder} has no readable {MANIFEST} ({error}): release it again") from error
    present = set(_files(folder)) - {MANIFEST}
    changed = [
        file
        for file in sorted(present & set(entries))
        if file_digest(folder / file) != entries[file]["sha256"]
    ]
    return sorted([*changed, *(present ^ set(entries))])


def is_intact(release: Release) -> bool:
    """Whether all that was published is still there, byte for byte."""
    return all(is_intact_folder(Path(made.path)) for made in release.published)


def is_intact_folder(folder: Path) -> bool:
    """Whether one published folder is still as it was published."""
    try:
        return not verify_folder(folder)
    except ExportError:
        return False


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != _LOCK
    )


def _make_durable(folder: Path) -> None:
    """Readable for other users (safetensors writes 0600), and on the disk before the rename."""
    make_readable(folder)
    for path in [folder, *folder.rglob("*")]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
