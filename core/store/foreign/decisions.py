"""Decisions from an app's own table into the store: what changed since the last time, and what is still awaited.

An app may note feedback without touching the column that its changes are seen by. So rows whose reward is pending, or was
not computed yet, are read again by their ids until their last deadline.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from core.accounting import Accounting
from core.decision import ALSO_CALLED, COLUMNS, NEEDED
from core.recording.spool import finish_abandoned
from core.reward import RewardSpec
from core.store.decisions import DECISIONS
from core.store.engine import connection
from core.store.foreign.reading import reading
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape
from core.store.newest import HELD_BACK, OPTED_IN
from core.store.rewarded import known_spec

SHAPE = Shape(
    needed=NEEDED,
    optional=(*(name for name in COLUMNS if name not in NEEDED), OPTED_IN, HELD_BACK),
    also_called=ALSO_CALLED,
)
PENDING = """
    SELECT d.number, d.external_id FROM overnight.decisions d
        LEFT JOIN overnight.rewards r ON r.subject = d.number AND r.spec = %(spec)s
    WHERE d.source = %(source)s AND d.number > %(after)s
        AND (r.status = 'pending' OR (r.subject IS NULL AND d.created_at > %(awaited_since)s))
    ORDER BY d.number LIMIT %(limit)s
"""


def import_decisions(
    source: SourceSettings,
    use_case: str,
    spec: RewardSpec,
    *,
    run_id: str | None = None,
    now: datetime | None = None,
) -> Iterator[Accounting]:
    """Keep what is new or changed in an app's table, page by page; what became of each page's rows.

    What a process of the app recorded on this machine and could not bring into the store comes first. A page and how far it
    came are one transaction, so that a run that was killed goes on after its last page. Decisions whose reward by `spec` is
    awaited are read again.

    Raises: ConfigError, SourceError, StoreError, BusyError when another run reads the same source.
    """
    yield from finish_abandoned(source.name)
    if source.kind != "recorded":
        yield from _read(source, use_case, spec, run_id, now or datetime.now(UTC))


def _read(
    source: SourceSettings, use_case: str, spec: RewardSpec, run_id: str | None, now: datetime
) -> Iterator[Accounting]:
    with reading(
        source, SHAPE, f"decisions of {source.name}", DECISIONS.keep, run_id=run_id, now=now
    ) as read:
        yield from read.changed()
        with connection() as held:
            number = known_spec(held, use_case, spec.sha256)
        since = now - spec.last_deadline
        yield from read.awaited(PENDING, {"source": source.name, "spec": number, "awaited_since": since})
