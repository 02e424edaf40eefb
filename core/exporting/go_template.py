"""The part of Go's text/template that chat templates need, rendered as Ollama renders it.

Text, `{{ .Field }}`, `{{ $.Field }}`, `range $i, $_ := .Messages`, `if`, `else if`, `else`, `end`, and the functions
eq, ne, and, or, not, len, slice. Trimming (`{{-`) is not among them: templates here are written without.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import ExportError

Message = Mapping[str, str]
"""A role and a content."""
_ACTION = re.compile(r"\{\{ (.*?) \}\}", re.DOTALL)
_WORD = re.compile(r'"[^"]*"|[()]|[^\s()]+')
_RANGE = "range $i, $_ := .Messages"


@dataclass(slots=True)
class _Block:
    """What one `if` or `range` holds: branches of (condition, nodes), a condition of None being always true."""

    branches: list[tuple[str | None, list[Any]]] = field(default_factory=list)
    loops: bool = False


def render_go(template: str, messages: Sequence[Message]) -> str:
    """A conversation as Ollama would put it, without what the tokenizer adds at its start.

    Raises: ExportError for what this reader doesn't know.
    """
    data = {
        "Messages": [{"Role": row["role"], "Content": row["content"]} for row in messages],
        "System": "\n\n".join(row["content"] for row in messages if row["role"] == "system"),
        "Prompt": next((row["content"] for row in reversed(messages) if row["role"] == "user"), ""),
    }
    return "".join(_rendered(_parsed(template), data, data, {}))


def _parsed(template: str) -> list[Any]:
    """Nodes: a string is text, ('value', words) a value, a `_Block` the rest."""
    top: list[Any] = []
    open_blocks: list[_Block] = []
    nodes = top
    for index, part in enumerate(_ACTION.split(template)):
        if index % 2 == 0:
            _no_action(part)
            nodes.append(part)
        elif part == _RANGE or part.startswith("if "):
            block = _Block([(None if part == _RANGE else part[3:], [])], loops=part == _RANGE)
            nodes.append(block)
            open_blocks.append(block)
            nodes = block.branches[0][1]
        elif part == "else" or part.startswith("else if "):
            open_blocks[-1].branches.append((part[8:] or None, []))
            nodes = open_blocks[-1].branches[-1][1]
        elif part == "end":
            open_blocks.pop()
            nodes = open_blocks[-1].branches[-1][1] if open_blocks else top
        else:
            nodes.append(("value", part))
    return top


def _no_action(text: str) -> None:
    if "{{" in text or "}}" in text:
        raise ExportError(f"a template holds an action that is not known here: {text[:60]!r}")


def _rendered(nodes: list[Any], dot: Any, root: Any, variables: dict[str, Any]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, tuple):
            yield str(_value(node[1], dot, root, variables))
        elif node.loops:
            for index, message in enumerate(dot["Messages"]):
                yield from _rendered(node.branches[0][1], message, root, {"$i": index})
        else:
            yield from _branch(node, dot, root, variables)


def _branch(block: _Block, dot: Any, root: Any, variables: dict[str, Any]) -> Iterator[str]:
    for condition, nodes in block.branches:
        if condition is None or _value(condition, dot, root, variables):
            yield from _rendered(nodes, dot, root, variables)
            return


def _value(expression: str, dot: Any, root: Any, variables: dict[str, Any]) -> Any:
    words = _WORD.findall(expression)
    unknown = f"a template's expression is not known here: {expression!r}"
    try:
        found = _called(words, dot, root, variables)
    except (LookupError, ValueError, TypeError) as error:
        raise ExportError(unknown) from error
    if words:
        raise ExportError(unknown)
    return found


def _called(words: list[str], dot: Any, root: Any, variables: dict[str, Any]) -> Any:
    """One function with its arguments, or one value alone; takes its words away."""
    name = words[0]
    if name not in _FUNCTIONS:
        return _argument(words, dot, root, variables)
    words.pop(0)
    arguments = []
    while words and words[0] != ")":
        arguments.append(_argument(words, dot, root, variables))
    return _FUNCTIONS[name](*arguments)


def _argument(words: list[str], dot: Any, root: Any, variables: dict[str, Any]) -> Any:
    word = words.pop(0)
    if word == "(":
        inner = _called(words, dot, root, variables)
        words.pop(0)
        return inner
    if word.startswith('"'):
        return word[1:-1]
    if word.startswith("$."):
        return root[word[2:]]
    if word.startswith("."):
        return dot[word[1:]]
    return variables[word] if word.startswith("$") else int(word)


_FUNCTIONS: Mapping[str, Any] = {
    "eq": lambda first, second: first == second,
    "ne": lambda first, second: first != second,
    "and": lambda first, second: second if first else first,
    "or": lambda first, second: first or second,
    "not": lambda value: not value,
    "len": len,
    "slice": lambda values, start: values[start:],
}
