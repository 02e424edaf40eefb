"""Which ratings are new: claimed by the run that learns from them, used once it has, and new again for the next if it was killed."""

from datetime import UTC, datetime, timedelta

from pydantic import Field

from core.record import Record, Settings
from core.store.engine import connection

CLAIM = """
    UPDATE overnight.ratings SET claimed_by = %(run)s
    WHERE source = %(source)s AND used_at IS NULL AND claimed_by IS DISTINCT FROM %(run)s
"""
USE = "UPDATE overnight.ratings SET used_at = now() WHERE source = %s AND claimed_by = %s AND used_at IS NULL"
FOUND = """
    SELECT count(*), count(*) FILTER (WHERE used_at IS NULL), count(*) FILTER (WHERE used_at IS NULL AND failed.id IS NOT NULL),
        greatest(max(used_at), max(failed.finished_at) FILTER (WHERE used_at IS NULL)),
        min(rated_at) FILTER (WHERE used_at IS NULL)
    FROM overnight.ratings LEFT JOIN overnight.runs failed ON failed.id = claimed_by AND failed.status = 'failed'
    WHERE source = %s
"""


class OnlineSettings(Settings):
    """When a schedule learns again by itself."""

    enabled: bool = True
    min_samples_to_retrain: int = Field(default=100, ge=1)
    """New ratings that are enough."""
    retrain_interval_hours: float = Field(default=24, gt=0)
    """After so long any new rating is enough."""


class OnlineStatus(Record):
    """What there is to learn from, and whether it is time."""

    source: str
    ratings: int
    buffer_size: int
    """New ratings: no run has learnt from them."""
    failed: int
    """Of these, which a run took that failed: alone they are no reason to try again at once."""
    min_samples: int
    enabled: bool
    should_retrain: bool
    reason: str
    last_run: datetime | None
    """When a run had last learnt from ratings, or had failed to."""
    next_check: datetime | None
    """When any new rating will be enough; None while there is none."""


def online_status(source: str, settings: OnlineSettings, now: datetime | None = None) -> OnlineStatus:
    """Whether a source's ratings are worth a training. Raises: StoreError."""
    moment = now or datetime.now(UTC)
    with connection() as held:
        ratings, new, failed, last, oldest = held.execute(FOUND, (source,)).fetchone() or (
            0,
            0,
            0,
            None,
            None,
        )
    due = None if not new else (last or oldest) + timedelta(hours=settings.retrain_interval_hours)
    many = new - failed >= settings.min_samples_to_retrain
    late = due is not None and moment >= due
    return OnlineStatus(
        source=source,
        ratings=ratings,
        buffer_size=new,
        failed=failed,
        min_samples=settings.min_samples_to_retrain,
        enabled=settings.enabled,
        should_retrain=settings.enabled and (many or late),
        reason=_reason(settings, new, failed, many=many, late=late),
        last_run=last,
        next_check=due,
    )


def claim(source: str, run_id: str) -> int:
    """Take every new rating for a run, those too that a run before it took and never used; how many. Raises: StoreError."""
    with connection() as held:
        held.execute(CLAIM, {"source": source, "run": run_id})
        query = (
            "SELECT count(*) FROM overnight.ratings WHERE source = %s AND claimed_by = %s AND used_at IS NULL"
        )
        row = held.execute(query, (source, run_id)).fetchone()
    return 0 if row is None else int(row[0])


def use(source: str, run_id: str) -> int:
    """Note that a run has learnt from what it claimed; votes that changed meanwhile stay new. How many. Raises: StoreError."""
    with connection() as held:
        return held.execute(USE, (source, run_id)).rowcount


def _reason(settings: OnlineSettings, new: int, failed: int, *, many: bool, late: bool) -> str:
    if not settings.enabled:
        return "online learning is switched off (online.enabled)"
    there_are = f"{new:,} new ratings" + (
        f" ({failed:,} of them were taken by a run that failed)" if failed else ""
    )
    if many:
        return f"{there_are}, of at least {settings.min_samples_to_retrain:,}"
    if late:
        return f"{there_are}, and {settings.retrain_interval_hours:g} hours have passed"
    return (
        f"{there_are}, of at least {settings.min_samples_to_retrain:,}, or any after "
        f"{settings.retrain_interval_hours:g} hours"
    )
