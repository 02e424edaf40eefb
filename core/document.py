"""A document of a row in its one spelling, or the reason why it can't be kept."""

import json
import re
from decimal import Decimal
from typing import Any

from core.errors import DataError

DEEPEST = 100
"""Levels of a document: what is nested further is read by nobody, and by some not at all."""

STRING = re.compile(r'"(?:[^"\\]|\\.)*"')

BRACKETS = re.compile(r"[{}\[\]]")


class Unreadable(DataError):  # noqa: N818  (a reason, counted by its word)
    """A row that goes to quarantine; `reason` is one of a few words."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, str(self))


OBJECTS = ("state", "next_state", "outcome", "components", "metrics", "truth")
LISTS = ("steps", "messages")


def document(name: str, value: Any) -> str | None:
    """JSON text that jsonb can hold, from a parsed document or its text; None for JSON's null. Raises: Unreadable.

    One number has one spelling, whichever database it comes from: 1e2 and 100.0 are 100, and -0.0 is 0.
    """
    if value is None:
        return None
    is_text = isinstance(value, str | bytes) and name != "correction"
    words = value if is_text else encoded(name, value)
    _need_shallow(name, words)
    try:
        parsed = json.loads(words, parse_float=_real, parse_int=_integer)
    except RecursionError as error:
        raise Unreadable("too_deep", f"{name} is nested too deeply to be read") from error
    except ValueError as error:
        raise Unreadable("bad_json", f"{name} is no JSON: {error}") from error
    if parsed is None:
        return None
    if name in OBJECTS and not isinstance(parsed, dict):
        raise Unreadable("bad_json", f"{name} is {type(parsed).__name__}, not an object")
    if name in LISTS and not isinstance(parsed, list):
        raise Unreadable("bad_json", f"{name} is {type(parsed).__name__}, not a list")
    return encoded(name, parsed)


def _need_shallow(name: str, words: str | bytes) -> None:
    """Refuse a document that is nested too deeply, whoever reads it and from how deep. Raises: Unreadable."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    if text.count("{") + text.count("[") <= DEEPEST:
        return
    depth = 0
    for bracket in BRACKETS.findall(STRING.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        if depth > DEEPEST:
            raise Unreadable("too_deep", f"{name} is nested more than {DEEPEST} levels deep")


def encoded(name: str, value: Any) -> str:
    """Canonical JSON: keys sorted, nothing that jsonb can't hold. Raises: Unreadable."""
    try:
        words = json.dumps(value, allow_nan=False, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except RecursionError as error:
        raise Unreadable("too_deep", f"{name} is nested too deeply to be read") from error
    except TypeError as error:
        raise Unreadable("bad_json", f"{name}: {error}") from error
    except ValueError as error:
        raise Unreadable("non_finite", f"{name} holds NaN or infinity: {error}") from error
    return as_kept(name, words, escaped=True)


def _real(digits: str) -> float | int:
    """A number of JSON; a whole one by its digits, as PostgreSQL writes it: without a point or an exponent."""
    value = float(digits)
    return int(Decimal(repr(value))) if value.is_integer() else value


def _integer(digits: str) -> float | int:
    """A whole number of JSON; one that a double can't hold is infinite, as it is where it is written 1e400."""
    return int(digits) if len(digits) < 309 else float(digits)


def as_kept(name: str, words: str, *, escaped: bool = False) -> str:
    """Letters as the database holds them; `escaped`: they are JSON text. Raises: Unreadable."""
    try:
        words.encode()
    except UnicodeEncodeError as error:
        raise Unreadable("bad_unicode", f"{name} holds half a surrogate pair: {error.reason}") from error
    if "\0" in words or (escaped and "\\u0000" in words and _has_nul(words)):
        raise Unreadable("nul_char", f"{name} holds the character U+0000, which PostgreSQL can't hold")
    return words


def _has_nul(words: str) -> bool:
    """Whether an escape in JSON text is U+0000 itself, and no backslash before 'u0000'."""
    return any("\0" in part for part in _strings(json.loads(words)))


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [found for pair in value.items() for one in pair for found in _strings(one)]
    return [found for one in value for found in _strings(one)] if isinstance(value, list) else []
