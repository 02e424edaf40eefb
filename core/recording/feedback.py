"""What becomes known of a decision later: the user's feedback, the outcome, parts of the reward."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.decision import Feedback
from core.document import Unreadable, document
from core.value import AHEAD, LARGEST, moment, number, one_of

LATER = ("feedback", "correction", "feedback_at", "outcome", "outcome_at", "components", "next_state")
"""The fields of a decision that may come after it."""
DOCUMENTS = ("correction", "outcome", "components", "next_state")
TOGETHER = (("feedback_at", ("feedback", "correction")), ("outcome_at", ("outcome",)))
"""A time, and what was known by it: an earlier one does not replace a later one."""


def read_feedback(values: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """What is given of `LATER`, as a JSON object can hold it: documents are JSON text, times ISO text. Raises: Unreadable."""
    read: dict[str, str | None] = {name: document(name, values.get(name)) for name in DOCUMENTS}
    if values.get("feedback") is not None:
        read["feedback"] = str(one_of(Feedback, "feedback", values["feedback"]))
    for time, fields in TOGETHER:
        at = moment(time, values.get(time))
        if at is not None and at > now + AHEAD:
            raise Unreadable("clock_skew", f"{time} {at} is in the future: set that clock")
        if any(read.get(name) is not None for name in fields):
            read[time] = (at or now).isoformat()
    if read["components"] is not None:
        read["components"] = known_components(read["components"])
    given = {name: value for name, value in read.items() if value is not None}
    if not given:
        raise Unreadable(
            "missing_value", "no feedback given: name one of feedback, correction, outcome, components"
        )
    if sum(map(len, given.values())) > LARGEST:
        raise Unreadable("oversize", f"its documents are larger than {LARGEST // 2**20} MB")
    return given


def merged(known: Mapping[str, str | None], news: Mapping[str, str]) -> dict[str, str | None]:
    """What is known of a decision after some news; components are replaced one by one, the rest as a whole."""
    after = dict(known)
    for time, fields in TOGETHER:
        if time in news and not _is_later(known.get(time), news[time]):
            after |= {name: news[name] for name in (time, *fields) if name in news}
            if "feedback" in news and known.get("feedback") is not None and "correction" not in news:
                after["correction"] = None
    if "next_state" in news:
        after["next_state"] = news["next_state"]
    if "components" in news:
        after["components"] = merged_components(known.get("components"), news["components"])
    return after


def _is_later(known: str | None, given: str) -> bool:
    return known is not None and datetime.fromisoformat(known) > datetime.fromisoformat(given)


def known_components(words: str) -> str | None:
    """Groups of finite numbers, without what is null: nothing is known of that. Raises: Unreadable for any other value."""
    groups: dict[str, dict[str, Any]] = {}
    for name, group in json.loads(words).items():
        if group is None:
            continue
        if not isinstance(group, dict):
            raise Unreadable(
                "bad_component", f"components.{name} is {str(group)[:40]!r}, not an object of numbers"
            )
        groups[name] = {part: value for part, value in group.items() if value is not None}
        for part, value in groups[name].items():
            number(f"components.{name}.{part}", value)
    return document("components", groups) if groups else None


def merged_components(known: str | None, given: str) -> str | None:
    """Components one by one, those given in place of those known."""
    groups = json.loads(known) if known else {}
    for name, group in json.loads(given).items():
        both = isinstance(group, dict) and isinstance(groups.get(name), dict)
        groups[name] = groups[name] | group if both else group
    return document("components", groups)
