"""What is held out of a file that doesn't say so itself: whole users or sessions, chosen by their names' hashes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from core.dataset import ScoredGroup
from core.files import digest
from core.held_out import TEST, TRAIN

TEST_SHARE = 0.1
FEWEST = 5
"""Units below which one of them would be too much to hold out."""
AS_SAID = "as the file says"
NAMES: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userId"),
    "session": ("session", "session_id", "sessionId"),
    "item": ("item", "item_id", "itemId"),
    "step": ("step", "step_number", "stepNumber"),
    "logged_at": ("logged_at", "created_at", "createdAt"),
    "decision": ("decision_id", "decisionId"),
    "feedback": ("feedback", "user_feedback", "userFeedback"),
    "correction": ("correction", "user_correction", "userCorrection"),
}
"""What a row's metadata may call it."""


def named_in(metadata: Mapping[str, Any], what: str) -> Any:
    """A row's user, session, item, step ..., by any of its names; None where it has none."""
    return next((metadata[name] for name in NAMES[what] if metadata.get(name) is not None), None)


def logged_in(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a row says of the decision that it logs, be that beside the rest or under `logged`."""
    logged = metadata.get("logged")
    return {**logged, **metadata} if isinstance(logged, Mapping) else metadata


@dataclass(frozen=True, slots=True)
class GivenSplit:
    """Which rows are held out: those the file says; else of all units a tenth, at least one, and none where they are few.

    A unit is what must not lie on both sides: a user where every row has one and they are not few, else a session, else an
    item, else a prompt.
    """

    rows: int
    named: bool
    """The file says it itself, and a line that doesn't is trained on."""
    by_user: bool
    held_out: frozenset[int]

    @classmethod
    def of(cls, groups: Iterable[ScoredGroup]) -> Self:
        """The split of a file, from all its rows."""
        rows, named, users = 0, False, set[str | None]()
        units: dict[bool, set[int]] = {True: set(), False: set()}
        for group in groups:
            rows += 1
            named = named or "split" in group.model_fields_set
            user = named_in(group.metadata, "user")
            users.add(None if user is None else str(user))
            for by_user, found in units.items():
                found.add(_unit(group, by_user=by_user))
        by_user = len(users) >= FEWEST and None not in users
        ranked = sorted(units[by_user])
        enough = len(ranked) >= FEWEST and not named
        count = max(1, round(TEST_SHARE * len(ranked))) if enough else 0
        return cls(rows, named, by_user, frozenset(ranked[:count]))

    def of_group(self, group: ScoredGroup) -> str:
        """'train' or 'test', or what the row itself says."""
        if self.named:
            return group.split
        return TEST if _unit(group, by_user=self.by_user) in self.held_out else TRAIN

    @property
    def said(self) -> str:
        """For a person."""
        if self.named:
            return AS_SAID
        if not self.held_out:
            return "nothing held out: too few users, sessions, items or prompts"
        whole = "users" if self.by_user else "sessions, else items, else prompts"
        return f"{len(self.held_out)} held out by hash: whole {whole}"


def _unit(group: ScoredGroup, *, by_user: bool) -> int:
    """The hash of what a row belongs to."""
    for what in ("user", "session", "item") if by_user else ("session", "item"):
        if (name := named_in(group.metadata, what)) is not None:
            return int(digest(what, str(name))[:16], 16)
    return int(digest("prompt", group.prompt)[:16], 16)
