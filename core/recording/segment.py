"""A file that lines are added to, each on the disk before the call that added it returns."""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import StorageError
from core.files import make_folder, writing


class Segment:
    """An open file of lines, held by this process alone. Lines of several threads reach the disk together."""

    def __init__(self, path: Path) -> None:
        """Make the file. Raises: StorageError."""
        self.path = path
        make_folder(path.parent)
        unheld = path.with_suffix(".new")  # seen by nobody who looks for files that were left
        with writing(path):
            self._file = os.open(
                unheld, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            fcntl.flock(self._file, fcntl.LOCK_EX)
            unheld.rename(path)
            sync_folder(path.parent)
        self._adding, self._syncing = threading.Lock(), threading.Lock()
        self._written = self._synced = 0
        self._failed = self._closed = False

    @property
    def synced(self) -> int:
        """Bytes that are on the disk."""
        return self._synced

    @property
    def failed(self) -> bool:
        """Whether the disk refused to keep what was added: the system may take that for written from then on."""
        return self._failed

    def add(self, line: bytes) -> bool:
        """Add a line, ending in a newline, on the disk when this returns; False when the file was closed before.

        Raises: StorageError, and the line counts as not added.
        """
        with self._adding, writing(self.path):
            if self._closed:
                return False
            if self._failed:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._write(line)
            mine = self._written
        self._sync(mine)
        return True

    def close(self) -> None:
        """Take no more lines and let go of the file: who finds it then may read it to the end. Raises: StorageError."""
        with self._adding:
            self._closed = True
        try:
            if not self._failed:
                self._sync(self._written)
        finally:
            os.close(self._file)

    def _write(self, line: bytes) -> None:
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301  (undone below)
        except OSError:
            os.ftruncate(self._file, self._written)
            raise
        self._written += len(line)

    def _sync(self, mine: int) -> None:
        """One thread syncs for all that wrote until then; the others find it done."""
        with self._syncing:
            if self._synced >= mine:
                return
            reached = self._written
            try:
                with writing(self.path):
                    os.fsync(self._file)
            except StorageError:
                self._failed = True
                raise
            self._synced = reached


@contextmanager
def abandoned(path: Path) -> Iterator[int | None]:
    """The bytes of a file of lines whose process is gone, which is this process's during the block; None while it lives."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield _size_if_ours(file, path)
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    """Make sure that files which were made or removed stay so. Raises: OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size_if_ours(file: int, path: Path) -> int | None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    try:
        return path.stat().st_size if os.path.samestat(path.stat(), os.fstat(file)) else None
    except FileNotFoundError:
        return None
