"""The data folder, and writing to it so that nothing is ever half written."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import platformdirs

from core.errors import StorageError


def data_folder() -> Path:
    """The one folder Overnight writes to: OVERNIGHT_HOME, else the user's data folder.

    As root it is /var/lib/overnight, because the embedded database runs as another user there.
    """
    home = os.environ.get("OVERNIGHT_HOME")
    if home:
        return Path(home).expanduser().absolute()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/overnight")
    return Path(platformdirs.user_data_dir("overnight", appauthor=False))


def make_folder(folder: Path) -> Path:
    """Create a folder (and its parents) that other users may pass.

    Raises: StorageError when the place can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    if not os.access(folder, os.W_OK):
        raise StorageError(
            f"{folder} can't be written by this user: change its owner, or set OVERNIGHT_HOME to another folder"
        )
    return folder


def storage_error(path: Path, error: OSError) -> StorageError:
    """What a failed write means and what to do about it, as one line."""
    remedy = {
        "ENOSPC": "free some space, or set OVERNIGHT_HOME to a larger disk",
        "EDQUOT": "free some space, or set OVERNIGHT_HOME to a larger disk",
        "EACCES": "change its owner, or set OVERNIGHT_HOME to a folder of yours",
        "EPERM": "change its owner, or set OVERNIGHT_HOME to a folder of yours",
        "EROFS": "it is read-only: set OVERNIGHT_HOME to a folder that is not",
    }
    name = _errno_name(error)
    return StorageError(
        f"can't write {path}: {error.strerror or error} ({name}); {remedy.get(name, 'check the disk')}"
    )


def _errno_name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "OSError")


def digest(*parts: Any) -> str:
    """SHA-256 of JSON values in a canonical form: equal parts give equal digests on any machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file by an atomic rename. Raises: StorageError."""
    make_folder(path.parent)
    partial: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
        ) as file:
            partial = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise storage_error(path, error) from error


def need_space(folder: Path, gigabytes: float) -> None:
    """Refuse early when the disk can't hold what is about to be written. Raises: StorageError."""
    free = shutil.disk_usage(make_folder(folder)).free / 1e9
    if free < gigabytes:
        raise StorageError(
            f"{folder} has {free:.1f} GB free and this run needs {gigabytes:.1f} GB: free some space, "
            "or set OVERNIGHT_HOME to a larger disk"
        )


def make_readable(folder: Path) -> None:
    """Let other users read a folder: safetensors and temporary folders are made for their owner alone."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
