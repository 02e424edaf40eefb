"""One thumb at a time, as an app hands it over: kept when the call returns, or refused with its reason; and taken back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.accounting import Accounting
from core.document import Unreadable
from core.rating import ENTRY, ENTRY_CALLED, RATING, RATING_CALLED, read_entry, read_rating
from core.store.engine import connection
from core.store.ratings import entries_page, ratings_page
from core.value import normalised

SHOWN = ("widget", "response")
"""Fields of which one says what was rated."""
OURS = {
    normalised(called): name
    for name in (*ENTRY, *RATING)
    for called in (name, *ENTRY_CALLED.get(name, ()), *RATING_CALLED.get(name, ()))
    if called not in ("created_at", "updated_at")
}
"""Our name of a field by any of its spellings."""
FORGET = (
    "DELETE FROM overnight.ratings WHERE source = %s AND entry_id = %s AND rater_id = %s AND rated_at = %s"
)


def add_feedback(source: str, feedback: Mapping[str, Any], *, now: datetime | None = None) -> bool:
    """Keep a rating; whether it is new or changed what its rater had said.

    Fields are those of `core.rating.Rating` and, where the entry may not be known yet, of `core.rating.Entry`, in snake_case
    or camelCase. Raises: Unreadable for what can't be used, and nothing is kept; StoreError.
    """
    named, moment = _named(feedback), now or datetime.now(UTC)
    read_rating(named, moment)
    shown = {name: named.get(name) for name in ENTRY}
    shows = any(shown[name] for name in SHOWN)
    if shows:
        read_entry(shown)
    with connection() as held:
        if shows:
            _need_kept(entries_page(held, source, [shown]), named)
        done = ratings_page(held, source, [named], None, moment)
        _need_kept(done, named)
    return done.written == 1


def take_back(source: str, entry_id: str, rater_id: str, rated_at: datetime) -> bool:
    """Forget a rating as if it had never been given; whether it was there. One that its rater has changed since then stays.

    Raises: StoreError.
    """
    with connection() as held:
        return held.execute(FORGET, (source, entry_id, rater_id, rated_at)).rowcount == 1


def _named(feedback: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for given, value in feedback.items():
        name = OURS.get(normalised(str(given)))
        if name is None:
            raise Unreadable(
                "unknown_field",
                f"{str(given)[:80]!r} is no field here: there are {', '.join(dict.fromkeys((*RATING, *ENTRY)))}",
            )
        named[name] = value
    return named


def _need_kept(done: Accounting, named: Mapping[str, Any]) -> None:
    for reason in done.quarantined:
        what = {"unknown_entry": "no entry has this id: say what was shown (widget or response, and question or prompt)",
                "duplicate_entry": "another entry has this id"}.get(reason, "it can't be used")  # fmt: skip
        raise Unreadable(reason, f"rating of {str(named.get('entry_id'))[:80]!r}: {what}")
