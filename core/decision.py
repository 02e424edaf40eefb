"""One logged decision, read from whatever form it came in, or the reason why it can't be used."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from core.document import document
from core.value import identity, moment, need_logprobs, need_past, need_values, number, one_of, text, whole


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
