"""One line of the spool: a decision, what became known of one, or what could not be taken and why."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from core.decision import Decision
from core.document import Unreadable
from core.record import Record
from core.recording.feedback import LATER, merged_components
from core.recording.names import our_name

LONGEST = 64 * 1024
"""Letters of a refused value that are kept."""


class Entry(Record):
    """What an app handed over, as it was read; documents are JSON text."""

    kind: Literal["decision", "feedback", "refused"]
    id: str
    at: datetime
    values: dict[str, Any]

    def line(self) -> bytes:
        """As it is written down."""
        return self.model_dump_json().encode() + b"\n"


def decision_entry(decision: Decision, at: datetime, *, timed: bool) -> Entry:
    """A decision to keep; `timed`: its app says when it was made, else that is when it came the first time."""
    unsaid = () if timed else ("created_at", "updated_at")
    values = {
        name: value for name, value in asdict(decision).items() if value is not None and name not in unsaid
    }
    return Entry(kind="decision", id=decision.external_id, at=at, values=values)


def refused_entry(values: Mapping[str, Any], why: Unreadable, at: datetime) -> Entry:
    """What an app was told that it can't be used: it counts among the rows set aside."""
    try:
        raw = json.dumps(dict(values), default=str, skipkeys=True)[
            :LONGEST
        ]  # ASCII, whatever letters it holds
    except (ValueError, RecursionError):  # it holds itself, or is nested too deeply
        raw = ""
    name = next((str(value) for key, value in values.items() if our_name(key) == "external_id"), "")[:200]
    told = {"reason": why.reason, "detail": plain(str(why)), "raw": raw}
    return Entry(kind="refused", id=plain(name), at=at, values=told)


def decision_values(entry: Entry, known: Mapping[str, str | None] | None) -> dict[str, Any]:
    """A decision's values as `read_decision` takes them; what is `known` of it already stays, and so does its time."""
    later = {name: value for name, value in (known or {}).items() if value is not None}
    values = {"created_at": entry.at.isoformat()} | later | entry.values
    values |= {name: value for name, value in later.items() if name in LATER}
    if "components" in later and "components" in entry.values:
        values["components"] = merged_components(entry.values["components"], str(later["components"]))
    if "correction" in values:  # a text is taken as it stands
        values["correction"] = json.loads(values["correction"])
    return values


def plain(words: str) -> str:
    """Words that can be written down: half a surrogate pair is shown as its escape."""
    return words.encode("utf-8", "backslashreplace").decode()
