"""Simulated entries and their ratings out of JSON files, in the form that seed 003's app writes them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.rating import RATING_CALLED

ENTRY_KEYS = ("entry_id", "question_id", "question", "widget", "fixture", "size", "prompt", "response")
KNOWN_WHEN_CHOSEN = ("data_override", "layout_context", "category")
"""What belongs to an entry's context, beside the intent that the app's pipeline found in the question."""


def entries_in(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of an exhaustive simulation: {"entries": [...]}, or the list itself.

    Ratings in it are left to `ratings_in`. Raises: DataError.
    """
    found = _parsed(path)
    entries = found.get("entries") if isinstance(found, dict) else found
    if not isinstance(entries, list):
        raise DataError(f'{path} holds no entries: it should be {{"entries": [...]}}, or a list of entries')
    for entry in entries:
        if isinstance(entry, dict):
            yield {name: entry.get(name) for name in ENTRY_KEYS} | _kind(entry) | {"context": _context(entry)}
        else:
            yield {"context": entry}


def ratings_in(path: Path, rater: str | None = None) -> Iterator[dict[str, Any]]:
    """The ratings of a file: {"ratings": {entry id: {rating, tags, notes, ...}}}, that mapping itself, a list of ratings,
    or a simulation whose entries carry their ratings.

    One without a time has the file's own. Raises: DataError.
    """
    found, at = _parsed(path), _time_of(path)
    for rating in _ratings(path, found):
        given = {name: value for name, value in rating.items() if value is not None}
        named = {
            name: given[called]
            for name, others in RATING_CALLED.items()
            for called in reversed(others)
            if called in given
        }
        yield {"rated_at": at, "rater_id": rater} | named | given


def _ratings(path: Path, found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, dict) and isinstance(found.get("entries"), list):
        found = [entry for entry in found["entries"] if isinstance(entry, dict) and entry.get("rating")]
    if isinstance(found, dict):
        found = found.get("ratings", found)
    if isinstance(found, Mapping):
        found = [{"entry_id": name, **_rating(value)} for name, value in found.items()]
    if not isinstance(found, list):
        raise DataError(
            f'{path} holds no ratings: it should be {{"ratings": {{entry id: {{"rating": "up"}}}}}}'
        )
    for rating in found:
        yield _rating(rating)


def _rating(value: Any) -> dict[str, Any]:
    """A rating as it stands, or its word alone."""
    return value if isinstance(value, dict) else {"rating": value}


def _kind(entry: Mapping[str, Any]) -> dict[str, Any]:
    """That app calls the kind of a widget its scenario; ours is the situation, where an entry has both."""
    if entry.get("widget") is None:
        return {"widget": entry.get("scenario")}
    return {"scenario": entry.get("scenario")}


def _context(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    known = {name: entry[name] for name in KNOWN_WHEN_CHOSEN if entry.get(name) is not None}
    meta = entry.get("pipeline_meta")
    if isinstance(meta, dict) and meta.get("intent") is not None:
        known["intent"] = meta["intent"]
    given = entry.get("context")
    return (given if isinstance(given, dict) else {}) | known or None


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=partial(_once, path))
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 from byte {error.start} on: save it as UTF-8") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is no JSON from line {error.lineno}, column {error.colno} on ({error.msg}): was it cut in the middle? "
            "Nothing of it was read"
        ) from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be read. Nothing of it was read") from error


def _once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are each given once. Raises: DataError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (name, _), *_ = (Counter(name for name, _ in pairs)).most_common(1)
        raise DataError(
            f"{path} names {name!r} twice in one object: give it once, or a list of rows. Nothing of it was read"
        )
    return found


def _time_of(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
