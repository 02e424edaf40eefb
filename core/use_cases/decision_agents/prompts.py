"""What each agent is asked: five formatters that see the state of a decision and nothing else of it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from core.decision import AgentType
from core.use_cases.decision_agents.answers import action_text

TEXT = 600
"""Characters of one text that are shown."""
LISTED = 10
"""Items of one list that are shown."""
STATE = 1_600
"""Characters of a state whose fields are none that the agent knows."""
Lines = Iterator[tuple[str, Any]]


def render(agent_type: str, state: Mapping[str, Any]) -> str:
    """The prompt of a decision: a task, the fields of the state that the agent goes by, and where to answer.

    A state without any of them is shown as JSON.
    """
    task, fields = FORMATTERS[agent_type]
    lines = [f"{name}: {text}" for name, value in fields(state) if (text := _text(value))]
    return "\n".join((task, *(lines or [action_text(state)[:STATE]]), "Answer in JSON:\n"))


def _filer(state: Mapping[str, Any]) -> Lines:
    item = _mapping(state.get("item"))
    yield "Item", item.get("title")
    yield "Instructions", item.get("rawInstructions")
    yield "Notes", item.get("routingNotes")
    yield "Project", _project(state.get("assignedOpus"), content=True)
    yield "Projects", state.get("availableOpuses")


def _librarian(state: Mapping[str, Any]) -> Lines:
    item = _mapping(state.get("item"))
    yield "Entry", item.get("title")
    yield "Details", item.get("rawInstructions")
    yield "Project", _project(state.get("opus"))
    yield "Related", state.get("relatedItems")
    yield "Dependencies", state.get("dependencies")


def _prioritizer(state: Mapping[str, Any]) -> Lines:
    context = _mapping(state.get("userContext"))
    yield "Energy", context.get("energyLevel")
    yield "Time", context.get("availableTime")
    items = state.get("items")
    for number, item in enumerate(items[:LISTED] if isinstance(items, list) else (), 1):
        yield str(number), _task(item)


def _storer(state: Mapping[str, Any]) -> Lines:
    item = _mapping(state.get("item"))
    yield "Item", item.get("title")
    yield "Content", item.get("content")
    yield "Outcome", state.get("outcome")
    yield "Existing", state.get("existingOpuses")


def _retriever(state: Mapping[str, Any]) -> Lines:
    yield "Question", state.get("query")
    yield "Context", state.get("context")
    yield "Sources", state.get("sources")


FORMATTERS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Lines]]] = {
    AgentType.FILER: ("File the item.", _filer),
    AgentType.LIBRARIAN: ("Check the entry.", _librarian),
    AgentType.PRIORITIZER: ("Rank the tasks.", _prioritizer),
    AgentType.STORER: ("Store the item.", _storer),
    AgentType.RETRIEVER: ("Find the source.", _retriever),
}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _project(value: Any, *, content: bool = False) -> str:
    """A project in a line: name, kind, and the beginning of what is in it."""
    project = _mapping(value)
    name, kind = project.get("name") or "", project.get("opusType")
    words = f"{name} ({kind})" if kind else str(name)
    return f"{words}: {_text(project['content'])}" if content and project.get("content") else words


def _task(value: Any) -> str:
    item = _mapping(value)
    named = [_text(item.get(name)) for name in ("title", "status", "deadline") if item.get(name)]
    return ", ".join(named) or _text(value)


def _text(value: Any) -> str:
    """A value on one line: texts cut, lists by their items' names, objects by their own name or as JSON."""
    if isinstance(value, str):
        text = value[:TEXT]
        return (text if text.isprintable() else " ".join(text.splitlines())).strip()
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value[:LISTED])))
    if isinstance(value, dict):
        return (
            _project(value) if value.get("name") else _text(value.get("title")) or action_text(value)[:TEXT]
        )
    return action_text(value)
