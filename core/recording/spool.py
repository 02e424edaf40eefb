"""Files of what was handed over and isn't in the store yet: written by one process, finished by whoever finds them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from pydantic import ValidationError

from core.accounting import Accounting
from core.files import data_folder, writing
from core.recording.entry import Entry
from core.recording.segment import Segment, abandoned, sync_folder
from core.store.pages import PAGE, PAGE_BYTES
from core.store.quarantine import Unusable
from core.store.recorded import forget, keep_recorded, kept_until


def spool_folder(source: str) -> Path:
    """Where an app's records lie until they are in the store."""
    return data_folder() / "spool" / re.sub(r"^\.", "%2E", quote(source, safe=""))


def new_segment(source: str) -> Segment:
    """A file of its own for this process. Raises: StorageError."""
    return Segment(spool_folder(source) / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex}.jsonl")


def drain(source: str, path: Path, end: int) -> Iterator[Accounting]:
    """Bring a file's lines, as far as it is on the disk, into the store; what became of each page. Raises: StoreError."""
    start = kept_until(path.stem)
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            entries, after = _page(source, file, start, end)
            if not entries:
                return
            now = datetime.now(UTC)
            yield keep_recorded(source, path.stem, entries, start=start, end=after, now=now)
            start = after


def remove(path: Path) -> None:
    """Delete a file that is in the store to its end. Raises: StorageError, StoreError."""
    with writing(path):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    forget(path.stem)


def finish_abandoned(source: str) -> Iterator[Accounting]:
    """Bring into the store what processes that are gone have left. Raises: StoreError."""
    for path in sorted(spool_folder(source).glob("*.jsonl")):
        with abandoned(path) as size:
            if size is None:
                continue
            yield from drain(source, path, size)
            remove(path)


def _page(source: str, file: BufferedReader, start: int, end: int) -> tuple[list[Entry | Unusable], int]:
    """Whole lines, as many as fit into memory; a line that a killed process left half was never acknowledged."""
    entries: list[Entry | Unusable] = []
    place = start
    while place < end and len(entries) < PAGE and place - start < PAGE_BYTES:
        line = file.readline(end - place)
        if not line.endswith(b"\n"):
            break
        place += len(line)
        entries.append(_entry(source, line))
    return entries, place


def _entry(source: str, line: bytes) -> Entry | Unusable:
    try:
        return Entry.model_validate_json(line)
    except ValidationError as error:
        return Unusable(source, "", "bad_json", f"a line of the spool can't be read: {error.title}", line)
