"""The data folder, and writing to it so that nothing is ever half written."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import platformdirs

from core.errors import OvernightError, StorageError, one_line

LARGER_DISK = "free some space, or set OVERNIGHT_HOME to a larger disk"
OTHER_OWNER = "change its owner, or set OVERNIGHT_HOME to a folder of yours"
REMEDIES = {
    errno.ENOSPC: LARGER_DISK,
    errno.EDQUOT: LARGER_DISK,
    errno.EACCES: OTHER_OWNER,
    errno.EPERM: OTHER_OWNER,
    errno.EROFS: "it is read-only: set OVERNIGHT_HOME to a folder that is not",
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`)",
}
CUT_SHORT = re.compile(r"PytorchStreamWriter|unexpected pos \d+|\d+ requested and \d+ written")
"""How torch and numpy say that a file came out shorter than what they wrote to it."""
RUST_NUMBER = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust (safetensors, tokenizers) say what the operating system refused."""


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
    number = error.errno or 0
    name = errno.errorcode.get(number, "OSError")
    return StorageError(
        f"can't write {path}: {error.strerror or error} ({name}); {REMEDIES.get(number, 'check the disk')}"
    )


class writing:  # noqa: N801  (read as a verb: `with writing(path):`)
    """A block that writes a file or folder, itself or through a library.

    Raises: StorageError for what the operating system refuses, in whatever words the library says it; every
    other exception passes.
    """

    def __init__(self, path: Path) -> None:
        """`path` is what the message names."""
        self.path = path

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Translate what went wrong, if it was the disk."""
        refusal = None if error is None or isinstance(error, OvernightError) else _refusal(error)
        if refusal is not None:
            raise storage_error(self.path, refusal) from error


def _refusal(error: BaseException) -> OSError | None:
    """What the operating system refused, read from an exception of any library; None when it was something else."""
    if isinstance(error, OSError) and error.errno:
        return error
    if number := RUST_NUMBER.search(str(error)):
        return OSError(int(number[1]), os.strerror(int(number[1])))
    if CUT_SHORT.search(str(error)):
        cause = error.__context__
        if isinstance(cause, OSError) and cause.errno:
            return cause
        return OSError(errno.ENOSPC, f"it came out too short, {one_line(error)}")
    return error if isinstance(error, OSError) else None


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
    """Write a text file so that a reader sees the old one or the new one. Raises: StorageError."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file aside and move it into place at once, readable for others. Raises: StorageError."""
    make_folder(path.parent)
    with (
        writing(path),
        tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file,
    ):
        partial = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            partial.chmod(0o644)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill aside, which takes its place at the end of the block; an exception leaves what was there.

    Raises: StorageError.
    """
    make_folder(folder.parent)
    with writing(folder):
        stage = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            yield stage
            make_readable(stage)
            shutil.rmtree(folder, ignore_errors=True)
            stage.rename(folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold a lock file alone while the block runs: whoever comes second waits. Gives the file's descriptor.

    A process that inherits the descriptor holds the lock too, until it ends.
    """
    make_folder(path.parent)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def need_space(folder: Path, gigabytes: float) -> None:
    """Refuse early when the disk can't hold what is about to be written. Raises: StorageError."""
    free = shutil.disk_usage(make_folder(folder)).free / 1e9
    if free < gigabytes:
        raise StorageError(
            f"{folder} has {free:.1f} GB free and this run needs {gigabytes:.1f} GB: {LARGER_DISK}"
        )


def make_readable(folder: Path) -> None:
    """Let other users read a folder: safetensors and temporary folders are made for their owner alone."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
