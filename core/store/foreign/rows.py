"""Rows as another database gives them, each with how far its source was read when it was."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from core.store.quarantine import Unusable
from core.value import LARGEST

FREE = ("correction",)
"""Columns that hold a person's words, or a document."""
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """One row, or why it can't be used."""

    content: Mapping[str, Any] | Unusable
    position: datetime | None
    """Its watermark; None where it has none."""


class Source(Protocol):
    """A table of an app, as it stood when it was opened."""

    place: str
    """Where it is, without its secrets: what is read there is known under it."""
    columns: Mapping[str, str]
    """Our name of each column that is there to its own."""

    def changed(self, since: datetime | None) -> Iterator[ForeignRow]:
        """Rows that were changed since then, the earliest first; all without a time. Raises: SourceError."""
        ...

    def named(self, ids: Sequence[str], before: datetime) -> Iterator[ForeignRow]:
        """Those of these rows that were not changed since. Raises: SourceError."""
        ...


def foreign_row(
    source: str, columns: Sequence[str], raw: Sequence[Any], size: int, position: datetime | None
) -> ForeignRow:
    """A row from its raw values: texts are bytes; of one whose size was found to be over `LARGEST` there is the id alone."""
    name = raw[0].decode("utf-8", "replace") if isinstance(raw[0], bytes) else str(raw[0])
    size = max(size, sum(len(value) for value in raw if isinstance(value, bytes)))  # it may have grown since
    if size > LARGEST:
        detail = (
            f"its columns hold {size / MILLION:.1f} MB: at most {LARGEST / MILLION:.1f} MB of a row are read"
        )
        return ForeignRow(Unusable(source, name, "oversize", detail), position)
    try:
        values = {column: _value(column, value) for column, value in zip(columns, raw, strict=True)}
    except UnicodeDecodeError as error:
        shown = b"\n".join(value for value in raw if isinstance(value, bytes))
        return ForeignRow(Unusable(source, name, "bad_unicode", f"no UTF-8: {error.reason}", shown), position)
    return ForeignRow(values, position)


def milliseconds(position: datetime) -> int:
    """A time as JavaScript counts it."""
    return round(position.timestamp() * 1000)


def at(position: int | None) -> datetime | None:
    """The time of milliseconds since 1970; None for one that no calendar holds."""
    try:
        return None if position is None else datetime.fromtimestamp(position / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _value(column: str, value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    words = value.decode()
    return _words_or_document(words) if column in FREE else words


def _words_or_document(words: str) -> Any:
    """A correction is a person's words, unless it can only be JSON."""
    if words[:1] not in ("{", "[", '"'):
        return words
    try:
        return json.loads(words)
    except (ValueError, RecursionError):
        return words
