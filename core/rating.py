"""What people rated and how they rated it, read from whatever form it came in, or the reason why it can't be used."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from core.document import Unreadable, document
from core.files import digest
from core.value import AHEAD, LARGEST, LONGEST_ID, moment, text

NOBODY = "somebody"
"""Who rated where it was not noted."""
USUAL_SIZE = "normal"
MOST_SAID = 10_000
"""Letters of one rating's tags and notes."""


class Thumb(StrEnum):
    """What a rater thought of an entry."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was shown to be rated: a widget that answers a question, or any response to any prompt."""

    entry_id: str
    question_id: str
    question: str
    scenario: str | None = None
    """The situation that its question belongs to, with others."""
    widget: str | None = None
    """Its kind."""
    fixture: str | None = None
    """How the widget looks."""
    size: str | None = None
    context: str | None = None
    """JSON text: what was known when it was chosen, and the data that it shows."""
    prompt: str | None = None
    response: str | None = None
    """Of an app that notes both, the words themselves; else they follow from the rest."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One rater's thumb on one entry; times are in UTC."""

    entry_id: str
    rater_id: str
    rating: Thumb
    rated_at: datetime
    tags: str = "[]"
    """A JSON list of words."""
    notes: str | None = None
    model_version: str | None = None


ENTRY = tuple(field.name for field in fields(Entry))
RATING = tuple(field.name for field in fields(Rating))
ENTRY_CALLED = {"entry_id": ("id",), "context": ("data_override",), "question": ("query",)}
RATING_CALLED = {
    "rater_id": ("device_id", "user_id", "rater"),
    "rated_at": ("updated_at", "created_at"),
    "notes": ("note",),
}
"""What apps call a column besides our own name for it; the first app was that of seed 003."""


def read_entry(values: Mapping[str, Any]) -> Entry:
    """An entry from a row of any source. Raises: Unreadable."""
    read = {name: text(name, values.get(name)) or None for name in ENTRY if name != "context"}
    read["context"] = document("context", values.get("context"))
    if sum(len(value or "") for value in read.values()) > LARGEST:
        raise Unreadable("oversize", f"its documents and texts are larger than {LARGEST // 2**20} MB")
    question = read["question"] or read["prompt"] or ""
    if not question.strip():
        raise Unreadable("missing_value", "question and prompt missing: give every entry one of them")
    if not (read["response"] or read["widget"] or "").strip():
        raise Unreadable(
            "empty_response",
            "it shows nothing: give a response, or the kind of widget that was shown",
        )
    return Entry(
        entry_id=_name("entry_id", values.get("entry_id")),
        question_id=_question(read["question_id"], question),
        question=question,
        scenario=read["scenario"],
        widget=read["widget"],
        fixture=read["fixture"],
        size=read["size"] or (USUAL_SIZE if read["widget"] else None),
        context=read["context"],
        prompt=read["prompt"],
        response=read["response"],
    )


def read_rating(values: Mapping[str, Any], now: datetime) -> Rating:
    """A rating from a row of any source; one without a time was given now. Raises: Unreadable."""
    rated_at = moment("rated_at", values.get("rated_at")) or now
    if rated_at > now + AHEAD:
        raise Unreadable("clock_skew", f"rated_at {rated_at} is in the future: set that clock")
    rating = Rating(
        entry_id=_name("entry_id", values.get("entry_id")),
        rater_id=_name("rater_id", text("rater_id", values.get("rater_id")) or NOBODY),
        rating=_thumb(values.get("rating")),
        rated_at=rated_at,
        tags=_tags(values.get("tags")),
        notes=text("notes", values.get("notes")) or None,
        model_version=text("model_version", values.get("model_version")) or None,
    )
    if len(rating.tags) + len(rating.notes or "") > MOST_SAID:
        raise Unreadable("oversize", f"its tags and notes are longer than {MOST_SAID:,} letters")
    return rating


def _question(name: str | None, question: str) -> str:
    """What a question is called; without a name by its words, or by their digest where an index can't hold them."""
    if name is not None:
        return _name("question_id", name)
    return question if len(question.encode()) <= LONGEST_ID else digest("question", question)


def _thumb(value: Any) -> Thumb:
    if value is None:
        raise Unreadable("unknown_rating", f"rating is missing: give {' or '.join(Thumb)}")
    try:
        return Thumb(str(value).strip().lower())
    except ValueError as error:
        raise Unreadable(
            "unknown_rating", f"rating {str(value)[:40]!r} is none of {', '.join(Thumb)}"
        ) from error


def _tags(value: Any) -> str:
    """A list of words as JSON text, each once; a single word is a list of one."""
    if isinstance(value, str) and value[:1] not in ("[", '"'):
        value = [value]
    words = json.loads(document("tags", value) or "[]")
    if isinstance(words, str):
        words = [words]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Unreadable("bad_json", f"tags {str(value)[:40]} are no list of words")
    return json.dumps(list(dict.fromkeys(filter(None, map(str.strip, words)))), ensure_ascii=False)


def _name(name: str, value: Any) -> str:
    words = text(name, value)
    if words is None:
        raise Unreadable("bad_id", f"{name} is missing")
    if not words or len(words.encode()) > LONGEST_ID:
        raise Unreadable("bad_id", f"{name} has {len(words.encode())} bytes: give 1 to {LONGEST_ID}")
    return words
