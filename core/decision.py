"""One logged decision, read from whatever form it came in, or the reason why it can't be used."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from core.dataset import ROUNDING
from core.document import Unreadable, as_kept, document

LARGEST = 8 * 1024 * 1024
"""Bytes of one decision's documents that are read at all."""
LONGEST_ID = 1_000
"""Bytes of an id: an index can't hold much more."""
AHEAD = timedelta(minutes=5)
"""How far a clock may be ahead of ours."""


class AgentType(StrEnum):
    """The agents of a filing desk."""

    FILER = "FILER"
    LIBRARIAN = "LIBRARIAN"
    PRIORITIZER = "PRIORITIZER"
    STORER = "STORER"
    RETRIEVER = "RETRIEVER"


class Feedback(StrEnum):
    """What the user did with a decision."""

    CONFIRMED = "CONFIRMED"
    CORRECTED = "CORRECTED"
    IGNORED = "IGNORED"
    OVERRIDDEN = "OVERRIDDEN"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as the store keeps it: documents are JSON text that jsonb can hold, times are in UTC."""

    external_id: str
    agent_type: AgentType
    state: str
    action: str
    model_version: str
    created_at: datetime
    updated_at: datetime
    next_state: str | None = None
    alternatives: str | None = None
    item_id: str | None = None
    opus_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    step: int | None = None
    confidence: float | None = None
    reasoning: str | None = None
    logprobs: str | None = None
    feedback: Feedback | None = None
    correction: str | None = None
    feedback_at: datetime | None = None
    outcome: str | None = None
    outcome_at: datetime | None = None
    components: str | None = None


DOCUMENTS = (
    "state",
    "action",
    "next_state",
    "alternatives",
    "logprobs",
    "correction",
    "outcome",
    "components",
)
TIMES = ("created_at", "updated_at", "feedback_at", "outcome_at")
TEXTS = ("model_version", "item_id", "opus_id", "user_id", "session_id", "reasoning")
COLUMNS = tuple(field.name for field in fields(Decision))
NEEDED = ("external_id", "agent_type", "state", "action", "model_version", "created_at")
ALSO_CALLED = {
    "external_id": ("id", "decision_id"),
    "alternatives": ("alternative_actions",),
    "feedback": ("user_feedback",),
    "correction": ("user_correction",),
    "outcome": ("outcome_metrics",),
    "outcome_at": ("outcome_observed_at",),
    "components": ("reward_components",),
}
"""What apps call a column besides our own name for it; the first app was that of seed 002."""


def read_decision(values: Mapping[str, Any], now: datetime) -> Decision:
    """A decision from a row of any source: documents parsed or as JSON text, times aware, naive (taken as UTC) or ISO text.

    `updated_at` is the latest of the row's times where the source has none, and never later than now: a clock that was ahead
    once would outdo all that comes after it. Raises: Unreadable.
    """
    read: dict[str, Any] = {name: text(name, values.get(name)) or None for name in TEXTS}
    read["external_id"] = identity("external_id", values.get("external_id"))
    read |= {name: document(name, values.get(name)) for name in DOCUMENTS}
    read |= {name: moment(name, values.get(name)) for name in TIMES}
    need_values(read | {"agent_type": values.get("agent_type")}, NEEDED)
    need_logprobs(read["logprobs"])
    read["agent_type"] = one_of(AgentType, "agent_type", values["agent_type"])
    if values.get("feedback") is not None:
        read["feedback"] = one_of(Feedback, "feedback", values["feedback"])
    read["confidence"] = number("confidence", values.get("confidence"))
    read["step"] = whole("step", values.get("step"))
    latest = read["updated_at"] or max(read[name] for name in TIMES if read[name] is not None)
    read["updated_at"] = min(latest, now)
    need_past(read, ("created_at",), now)
    return Decision(**read)


def need_values(read: Mapping[str, Any], names: Sequence[str]) -> None:
    """Make sure that a row has what it needs, and is no larger than anybody reads. Raises: Unreadable."""
    if missing := [name for name in names if read[name] is None]:
        raise Unreadable("missing_value", f"{', '.join(missing)} missing: give every row one")
    if sum(len(value) for value in read.values() if isinstance(value, str)) > LARGEST:
        raise Unreadable("oversize", f"its documents and texts are larger than {LARGEST // 2**20} MB")


def need_past(read: Mapping[str, Any], names: Sequence[str], now: datetime) -> None:
    """Make sure that times are not ahead of ours. Raises: Unreadable."""
    if ahead := [name for name in names if read[name] > now + AHEAD]:
        raise Unreadable("clock_skew", f"{ahead[0]} {read[ahead[0]]} is in the future: set that clock")


def need_logprobs(words: str | None) -> None:
    """Make sure that these are a list of log-probabilities, one a token. Raises: Unreadable."""
    values = [] if words is None else json.loads(words)
    if not isinstance(values, list) or not all(_is_logprob(value) for value in values):
        raise Unreadable(
            "bad_logprobs",
            f"logprobs {str(words)[:40]} are no list of numbers of 0 or less, one a token, in nats",
        )


def _is_logprob(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= ROUNDING


def normalised(name: str) -> str:
    """What is left of a column's name when its spelling doesn't matter: finalPnL is final_pnl."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def text(name: str, value: Any) -> str | None:
    """A string as the database holds it; numbers and UUIDs become theirs. Raises: Unreadable."""
    return None if value is None else as_kept(name, str(value))


def identity(name: str, value: Any) -> str | None:
    """An id as a string that an index can hold. Raises: Unreadable."""
    found = text(name, value)
    if found is not None and not 0 < len(found.encode()) <= LONGEST_ID:
        raise Unreadable("bad_id", f"{name} has {len(found.encode())} bytes: give 1 to {LONGEST_ID}")
    return found


def moment(name: str, value: Any) -> datetime | None:
    """A time in UTC; one without a zone is UTC already. Raises: Unreadable."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(
            value, int | float
        ):  # milliseconds since 1970, as JavaScript and Prisma's SQLite write it
            value = datetime.fromtimestamp(value / 1000, UTC)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise Unreadable("bad_time", f"{name} {str(value)[:40]!r} is no time: {error}") from error


def number(name: str, value: Any) -> float | None:
    """A finite number. Raises: Unreadable."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable("bad_number", f"{name} {str(value)[:40]!r} is no number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise Unreadable("non_finite", f"{name} is {str(value)[:40]}")
    return found + 0.0  # -0.0 becomes 0.0


def whole(name: str, value: Any) -> int | None:
    """A whole number of 0 or more, as an integer column holds it. Raises: Unreadable."""
    found = number(name, value)
    if found is not None and (not found.is_integer() or not 0 <= found < 2**31):
        raise Unreadable("bad_number", f"{name} {value} is no whole number from 0 to {2**31 - 1}")
    return None if found is None else int(found)


def within(name: str, value: Any, low: float, high: float) -> float | None:
    """A finite number that lies between two others. Raises: Unreadable."""
    found = number(name, value)
    if found is not None and not low <= found <= high:
        raise Unreadable(
            "out_of_range", f"{name} is {found:g}, and lies from {low:g} to {high:g} where it means anything"
        )
    return found


def one_of(kind: type[AgentType] | type[Feedback], name: str, value: Any) -> Any:
    """One of a few words. Raises: Unreadable."""
    try:
        return kind(value)
    except ValueError as error:
        raise Unreadable(
            f"unknown_{name}", f"{name} {str(value)[:40]!r} is none of {', '.join(kind)}"
        ) from error
