"""One value of a row, read from whatever form it came in, or the reason why it can't be used; core/document.py reads documents."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from core.dataset import ROUNDING
from core.document import Unreadable, as_kept

LARGEST = 8 * 1024 * 1024
"""Bytes of one row's documents and texts that are read at all."""
LONGEST_ID = 1_000
"""Bytes of an id: an index can't hold much more."""
EARLIEST = 1e11
"""Milliseconds in 1973: a number below counts seconds, or means something else."""
AHEAD = timedelta(minutes=5)
"""How far a clock may be ahead of ours."""


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
    if isinstance(value, bool | Mapping | list | tuple | set):
        raise Unreadable("bad_text", f"{name} is {type(value).__name__}, not a text")
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
        elif isinstance(value, int | float):
            value = _from_milliseconds(value)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise Unreadable("bad_time", f"{name} {str(value)[:40]!r} is no time: {error}") from error


def _from_milliseconds(value: float) -> datetime:
    """Since 1970, as JavaScript and Prisma's SQLite write it."""
    if isinstance(value, bool) or 0 < abs(value) < EARLIEST:
        raise ValueError("a number is milliseconds since 1970, and not seconds")
    return datetime.fromtimestamp(value / 1000, UTC)


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


def one_of(kind: type[StrEnum], name: str, value: Any) -> Any:
    """One of a few words. Raises: Unreadable."""
    try:
        return kind(value)
    except ValueError as error:
        raise Unreadable(
            f"unknown_{name}", f"{name} {str(value)[:40]!r} is none of {', '.join(kind)}"
        ) from error
