"""Rows in a JSONL file that a person names, as a snapshot like any other.

A line has one of two shapes: our own (`ScoredGroup`: id, prompt, completions, rewards or weights, behaviour, split,
metadata), or one decision (prompt, completion, reward, confidence, metadata; id and split where they are known). A line
without an id is known by what it says; a number must be finite; an empty line is no line. Of the metadata, what other apps
call `sessionId`, `stepNumber` or `createdAt` becomes the `session`, `step` and `logged_at` that training reads; a session without steps is in
the order of its times.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.dataset import ScoredGroup, Snapshot, write_snapshot
from core.errors import DataError, SourceError
from core.files import digest
from core.given_split import GivenSplit, named_in

KIND = "given"
DECISION = {"id", "prompt", "completion", "reward", "confidence", "split", "metadata"}
TRAINING_READS = ("session", "step", "logged_at")
LONGEST_KEY = 40
"""Letters of an unknown key that a reason names."""


class _UnusableLine(ValueError):  # noqa: N818  (it is counted, never seen)
    """Why a line is left out."""


def given_file(name: str) -> Path:
    """The file that a person names. Raises: DataError when it isn't there."""
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise DataError(
            f"rows: {path} is no file on the worker's machine: give the path of a JSONL file there"
        )
    return path


def given_rows(path: Path, sha256: str, folder: Path) -> Snapshot:
    """A file's usable lines as a snapshot in `folder`; the others are counted by reason.

    Where no line names a split, a part is held out (core/given_split.py). The same bytes (`sha256`) give the same rows.
    Raises: DataError when no line can be used or the file changes meanwhile, SourceError, StorageError.
    """
    skipped: Counter[str] = Counter()
    split = GivenSplit.of(_usable(path, sha256, skipped))
    if not split.rows:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in skipped.items()) or "it is empty"
        raise DataError(
            f"{path} has no line that can be used ({reasons}): a line is {{id, prompt, completions, rewards or weights}} or "
            "{prompt, completion, reward, metadata}"
        )
    groups = _usable(path, sha256, Counter())
    rows = (group.model_dump(mode="json") | {"split": split.of_group(group)} for group in groups)
    notes = {"file": path.name, "file_sha256": sha256, "split": split.said}
    return write_snapshot(folder, KIND, rows, skipped=skipped, notes=notes)


def _usable(path: Path, sha256: str, skipped: Counter[str]) -> Iterator[ScoredGroup]:
    """Line by line, each id once; what is left out is counted."""
    seen: set[str] = set()
    for line in _lines(path, sha256):
        try:
            group = _group(_values(line))
        except _UnusableLine as reason:
            skipped[str(reason)] += 1
            continue
        if group.id in seen:
            skipped["id twice"] += 1
        else:
            seen.add(group.id)
            yield group


def _lines(path: Path, sha256: str) -> Iterator[bytes]:
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for line in file:
                sha.update(line)
                if line.strip():
                    yield line
    except OSError as error:
        raise SourceError(
            f"{path} can't be read ({error}): give a JSONL file that this user may read"
        ) from error
    if sha.hexdigest() != sha256:
        raise DataError(f"{path} changed while it was read: wait until it is written, and start again")


def _values(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line.decode("utf-8-sig"), parse_float=_finite, parse_constant=_finite)
        if b"\\u" in line:
            json.dumps(values, ensure_ascii=False).encode()
    except _UnusableLine:
        raise
    except UnicodeDecodeError:
        raise _UnusableLine("no UTF-8") from None
    except UnicodeEncodeError:
        raise _UnusableLine("half of a surrogate pair") from None
    except (ValueError, RecursionError):
        raise _UnusableLine("no JSON") from None
    if not isinstance(values, dict):
        raise _UnusableLine("no JSON object")
    return values


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise _UnusableLine("a number is NaN or infinite")
    return value


def _group(values: dict[str, Any]) -> ScoredGroup:
    metadata = values.get("metadata")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise _UnusableLine("metadata is no object")
    if "completion" in values or "reward" in values:
        values, metadata = _one_decision(values, metadata)
    metadata = metadata | _as_training_reads(metadata)
    values = {name: value for name, value in values.items() if value is not None} | {"metadata": metadata}
    values["id"] = _id(values, metadata)
    try:
        group = ScoredGroup.model_validate(values)
    except ValidationError as error:
        raise _UnusableLine(_reason(error.errors()[0])) from None
    if not group.prompt.strip():
        raise _UnusableLine("empty prompt")
    return group


def _as_training_reads(metadata: dict[str, Any]) -> dict[str, Any]:
    """What training reads, under its names. Decisions of a session without steps are in the order of their times."""
    found = {name: value for name in TRAINING_READS if (value := named_in(metadata, name)) is not None}
    if (
        "session" in found
        and "step" not in found
        and (time := _milliseconds(found.get("logged_at"))) is not None
    ):
        found["step"] = time
    return found


def _milliseconds(logged_at: Any) -> int | None:
    """Since 1970; a time without a zone is UTC."""
    try:
        time = datetime.fromisoformat(logged_at)
        return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        return None


def _one_decision(values: dict[str, Any], metadata: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A line of the second shape in the words of the first."""
    for name in sorted(set(values) - DECISION):
        raise _UnusableLine(f"a line with completion or reward has no key '{name[:LONGEST_KEY]}'")
    if not isinstance(values.get("completion"), str):
        raise _UnusableLine("completion is no text")
    if values.get("confidence") is not None:
        metadata = {"confidence": values["confidence"]} | metadata
    kept = {name: values.get(name) for name in ("id", "prompt", "split")}
    return kept | {"completions": [values["completion"]], "rewards": [values.get("reward")]}, metadata


def _id(values: dict[str, Any], metadata: dict[str, Any]) -> str:
    """What a line is known by: the id it has, that of the decision it logs, or all that it says."""
    for name in (values.get("id"), named_in(metadata, "decision")):
        if isinstance(name, str | int) and not isinstance(name, bool) and str(name).strip():
            return str(name)
    return digest(values, metadata)[:16]


def _reason(error: Any) -> str:
    place = str(error["loc"][0])[:LONGEST_KEY] if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"unknown key '{place}'"
    if error["type"] == "missing":
        return f"no {place}"
    return f"{place} can't be read" if place else "not one reward or weight for each completion"
