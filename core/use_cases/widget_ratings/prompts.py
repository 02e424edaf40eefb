"""What a model is asked: which widget answers a question, and how a widget should look. Nothing that a rater said is in it."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from core.rating import USUAL_SIZE

END = "\n"
"""What ends an answer."""
SHOWN = 300
"""Characters of what was known that are shown."""
KNOWN = ("domains", "entities", "time_range", "type")
"""What an app's pipeline may have found in a question."""


def widget_prompt(
    question: str, context: Mapping[str, Any] | None, widgets: Sequence[str], sizes: Sequence[str]
) -> str:
    """Which widget, and how large. The widgets are all that the dashboard has; what every prompt says comes first."""
    lines = [
        "Choose the widget that answers the question.",
        f"Widgets: {', '.join(widgets)}",
        f"Sizes: {', '.join(sizes)}",
        "Answer as: widget (size)",
        f"Question: {_line(question)}",
    ]
    if about := _about(context):
        lines.append(f"About: {about}")
    return END.join([*lines, "Answer:", ""])


def widget_answer(widget: str, size: str | None) -> str:
    """A choice of a widget in words."""
    return f"{widget} ({size or USUAL_SIZE})"


def fixture_prompt(question: str, data: str, widget: str, size: str | None, looks: Sequence[str]) -> str:
    """How a widget should look, that was chosen already, and shows some `data`. The looks are all that it has."""
    lines = [
        "Choose how the widget looks.",
        f"Widget: {widget_answer(widget, size)}",
        f"Looks: {', '.join(looks)}",
    ]
    if data:
        lines.append(f"Data: {data}")
    return END.join([*lines, f"Question: {_line(question)}", "Answer with one look:", ""])


def offered(problem: str, prompt: str) -> set[str]:
    """The answers that a prompt offers; none where the answer is in one's own words."""
    lines = dict(line.partition(": ")[::2] for line in prompt.splitlines())
    if problem == "fixture":
        return set(lines.get("Looks", "").split(", "))
    widgets, sizes = (lines.get(name, "").split(", ") for name in ("Widgets", "Sizes"))
    return {widget_answer(*pair) for pair in product(widgets, sizes)} if problem == "widget" else set()


def _about(context: Mapping[str, Any] | None) -> str:
    """What was known of the question when the widget was chosen."""
    known = _object(_object(context).get("intent"))
    return "; ".join(_line(_words(known[name])) for name in KNOWN if known.get(name))[:SHOWN]


def data_line(context: Mapping[str, Any] | None) -> str:
    """The labels and values that a widget shows."""
    given = _object(context).get("data_override")
    data = given.get("demoData", given) if isinstance(given, dict) else None
    if not isinstance(data, dict):
        return ""
    plain = {
        name: value
        for name, value in data.items()
        if isinstance(value, str | int | float) and not name.startswith("_")
    }
    return ", ".join(f"{name} {_line(str(value))}" for name, value in sorted(plain.items()))[:SHOWN]


def _object(value: Any) -> Mapping[str, Any]:
    """What an app kept as an object, and an empty one where it kept something else."""
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(each)}" for name, each in sorted(value.items()))
    return value if isinstance(value, str) else json.dumps(value)


def _line(words: str) -> str:
    return " ".join(words.split())
