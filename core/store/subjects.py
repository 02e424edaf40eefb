"""Which stored rows a snapshot was made of, so that it can be called stale once one of them is worth something else."""

from collections.abc import Iterable, Iterator

from core.store.bulk import copy_in
from core.store.engine import connection

PART = 5_000
"""Subjects a row."""
COLUMNS = ("snapshot", "part", "spec", "subjects")
TYPES = ("text", "int4", "int4", "int8[]")


def record_subjects(snapshot: str, spec: int, subjects: Iterable[int]) -> None:
    """Note what a recorded snapshot (its digest) was made of; the same again changes nothing. Raises: StoreError, RecordError."""
    with connection() as held:
        held.execute("DELETE FROM overnight.snapshot_subjects WHERE snapshot = %s", (snapshot,))
        rows = ((snapshot, part, spec, numbers) for part, numbers in enumerate(_parts(subjects)))
        copy_in(held, "snapshot_subjects", COLUMNS, TYPES, rows)


def _parts(subjects: Iterable[int]) -> Iterator[list[int]]:
    part: list[int] = []
    for subject in subjects:
        part.append(subject)
        if len(part) == PART:
            yield part
            part = []
    if part:
        yield part
