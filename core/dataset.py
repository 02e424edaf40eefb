"""Immutable sets of rows: what training and contests read, and what they are held to.

A snapshot is a folder with `rows.jsonl` and `manifest.json`. The same rows give the same bytes, the
bytes give the digest, and a reader checks it: nothing can change under a run unseen.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from core.errors import DataError, SnapshotError
from core.files import make_folder, new_folder, write_json, writing
from core.record import Record

ROWS = "rows.jsonl"
MANIFEST = "manifest.json"
BUFFER = 1 << 20
"""Bytes of rows that are written at once."""
ROUNDING = 1e-3
"""Nats above 0 that a logged log-probability may have from low precision."""


class ScoredGroup(Record):
    """Completions of one prompt with what each was worth: the row every training method reads.

    `weights` is the distribution to imitate (SFT); `rewards` is what each completion earned (every method but SFT).
    Only a method that draws its own completions can do without any.
    A group whose completions are all the legal answers is a *choice*: the policy is a softmax over them.
    `behaviour` is what logged completions were drawn with: for each its tokens' log-probabilities in nats, over the whole
    vocabulary at temperature 1, or None where they were not logged.
    `split`: 'train' is trained on, by 'validation' the best checkpoint is chosen, 'test' is for the evaluation; where no row
    is for validation, training looks at those for the test.
    """

    id: str
    prompt: str
    completions: tuple[str, ...] = ()
    rewards: tuple[float | None, ...] = ()
    weights: tuple[float, ...] = ()
    behaviour: tuple[tuple[float, ...] | None, ...] = ()
    split: str = "train"
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_value_a_completion(self) -> Self:
        for name in ("rewards", "weights", "behaviour"):
            values = getattr(self, name)
            if values and len(values) != len(self.completions):
                raise ValueError(f"{len(values)} {name} for {len(self.completions)} completions")
        return self

    @field_validator("behaviour")
    @classmethod
    def _log_probabilities(
        cls, behaviour: tuple[tuple[float, ...] | None, ...]
    ) -> tuple[tuple[float, ...] | None, ...]:
        for value in (value for logprobs in behaviour for value in logprobs or ()):
            if not -math.inf < value <= ROUNDING:
                raise ValueError(f"{value} in behaviour is no log-probability of a token that was drawn")
        return behaviour


class Snapshot(Record):
    """A reference to an immutable set of rows: small enough to travel between tasks."""

    kind: str
    path: str
    sha256: str
    counts: dict[str, int]
    skipped: dict[str, int] = Field(default_factory=dict)
    parents: tuple[str, ...] = ()
    notes: dict[str, Any] = Field(default_factory=dict)


class Encoded(NamedTuple):
    """A row that its maker has written as canonical JSON: many rows at once, of values that JSON can hold for sure."""

    line: bytes
    """With its end."""
    split: str


def write_snapshot(
    folder: Path,
    kind: str,
    rows: Iterable[dict[str, Any] | Encoded],
    *,
    skipped: dict[str, int] | None = None,
    parents: tuple[str, ...] = (),
    notes: dict[str, Any] | None = None,
) -> Snapshot:
    """Write rows as canonical JSONL with a manifest; the same rows give byte-identical files.

    `skipped` counts the rows left out, by reason. Raises: DataError for a value JSON can't hold, StorageError.
    """
    with new_folder(folder) as stage:
        sha256, counts = _write_rows(stage / ROWS, rows)
        snapshot = Snapshot(
            kind=kind,
            path=str(folder),
            sha256=sha256,
            counts=counts,
            skipped=skipped or {},
            parents=parents,
            notes=notes or {},
        )
        write_json(stage / MANIFEST, snapshot.model_dump(exclude={"path"}))
    return snapshot


def _write_rows(path: Path, rows: Iterable[dict[str, Any] | Encoded]) -> tuple[str, dict[str, int]]:
    sha, counts = hashlib.sha256(), {"rows": 0}
    with path.open("wb", buffering=BUFFER) as file:
        for row in rows:
            line, split = row if isinstance(row, Encoded) else (_line(row, counts["rows"]), row.get("split"))
            sha.update(line)
            file.write(line)
            counts["rows"] += 1
            if split is not None:
                counts[split] = counts.get(split, 0) + 1
        file.flush()
        os.fsync(file.fileno())
    return sha.hexdigest(), counts


def _line(row: dict[str, Any], number: int) -> bytes:
    try:
        text = json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"row {number} ({row.get('id', 'no id')}) can't be written as JSON: {error}; drop or repair it"
        ) from error
    return text.encode() + b"\n"


def read_rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """The rows of a snapshot, after its bytes were held against its digest. Raises: SnapshotError."""
    path = Path(snapshot.path) / ROWS
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
            if actual != snapshot.sha256:
                raise SnapshotError(
                    f"{path} was changed after it was written (sha256 {actual[:12]}, manifest says "
                    f"{snapshot.sha256[:12]}): delete its folder and run the stage again"
                )
            file.seek(0)
            for line in file:
                yield json.loads(line)
    except OSError as error:
        raise SnapshotError(f"{path} can't be read ({error}): run the stage that writes it again") from error


def export_jsonl(snapshot: Snapshot, target: Path) -> Path:
    """Copy a snapshot's rows and manifest where a person asked for them; byte-identical to the snapshot."""
    for _ in read_rows(snapshot):
        break  # the digest is checked before the first row
    make_folder(target)
    with writing(target):
        for name in (ROWS, MANIFEST):
            shutil.copyfile(Path(snapshot.path) / name, target / name)
    return target / ROWS
