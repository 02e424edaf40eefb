"""How old logged rows are, by the time they were logged and by the policy that answered."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from core.dataset import ScoredGroup, Snapshot, read_rows
from core.training.config import GuardSettings, MethodSettings, active_guards


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """The oldest time and the oldest policy whose rows are still trained on; None is no limit."""

    logged_at: datetime | None = None
    policy_version: int | None = None

    @classmethod
    def of(cls, snapshot: Snapshot, settings: MethodSettings) -> Self:
        """The limits that guards set, counted back from the snapshot's newest rows. Raises: SnapshotError."""
        guards = active_guards(settings)
        if guards is None or (guards.max_age_days is None and guards.max_versions_behind is None):
            return cls()
        kept = [values.get("metadata", {}) for values in read_rows(snapshot)]
        return cls(_oldest_time(kept, guards), _oldest_version(kept, guards))

    def too_old(self, row: ScoredGroup) -> str | None:
        """Why a row is left out, or None; one that does not say how old it is can't be trusted to be young."""
        if self.logged_at is not None:
            logged = _time(row.metadata)
            if logged is None:
                return "logged_at is no ISO time"
            if logged < self.logged_at:
                return "older than max_age_days"
        if self.policy_version is not None:
            version = _version(row.metadata)
            if version is None:
                return "policy_version is no whole number"
            if version < self.policy_version:
                return "more than max_versions_behind"
        return None


def _oldest_time(rows: list[dict[str, Any]], guards: GuardSettings) -> datetime | None:
    if guards.max_age_days is None:
        return None
    newest = max((time for time in map(_time, rows) if time), default=_NEVER)
    try:
        return newest - timedelta(days=guards.max_age_days)
    except OverflowError:  # longer ago than there are dates
        return _NEVER


def _oldest_version(rows: list[dict[str, Any]], guards: GuardSettings) -> int | None:
    if guards.max_versions_behind is None:
        return None
    versions = [version for version in map(_version, rows) if version is not None]
    return max(versions, default=0) - guards.max_versions_behind


_NEVER = datetime.min.replace(tzinfo=UTC)


def _time(metadata: dict[str, Any]) -> datetime | None:
    try:
        time = datetime.fromisoformat(metadata["logged_at"])
    except (KeyError, TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _version(metadata: dict[str, Any]) -> int | None:
    version = metadata.get("policy_version")
    return version if isinstance(version, int) and not isinstance(version, bool) else None
