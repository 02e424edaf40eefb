"""Decisions from an app's own table into the store: what changed since the last time, and what is still awaited.

An app may note feedback without touching the column that its changes are seen by. So rows whose reward is pending, or was
not computed yet, are read again by their ids until their last deadline.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg

from core.accounting import Accounting
from core.decision import ALSO_CALLED, COLUMNS, NEEDED
from core.files import digest
from core.recording.spool import finish_abandoned
from core.reward import RewardSpec
from core.store.decisions import OPTED_IN, PAGE, ingest_page, letters, pages
from core.store.engine import connection
from core.store.foreign.opening import open_source
from core.store.foreign.rows import ForeignRow, Source
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape
from core.store.lease import Lease, lease
from core.store.rewarded import known_spec
from core.store.watermarks import move_watermark, watermark

DECISIONS = Shape(
    needed=NEEDED,
    optional=(*(name for name in COLUMNS if name not in NEEDED), OPTED_IN),
    also_called=ALSO_CALLED,
)
PENDING = """
    SELECT d.number, d.external_id FROM overnight.decisions d
        LEFT JOIN overnight.rewards r ON r.subject = d.number AND r.spec = %(spec)s
    WHERE d.source = %(source)s AND d.number > %(after)s
        AND (r.status = 'pending' OR (r.subject IS NULL AND d.created_at > %(awaited_since)s))
    ORDER BY d.number LIMIT %(limit)s
"""


@dataclass(slots=True)
class _Mark:
    """How far a source was read, as long as it is the same place, table and columns."""

    name: str
    read: str
    at: datetime | None

    def move(self, held: psycopg.Connection, page: Sequence[ForeignRow], now: datetime) -> None:
        """Never back, and never past the present: a clock that is ahead would hide what comes after it."""
        seen = [min(row.position, now) for row in page if row.position is not None]
        self.at = max([*seen, *([self.at] if self.at else [])], default=None)
        if self.at is not None:
            move_watermark(held, self.name, {"at": self.at.isoformat(), "read": self.read})


@dataclass(frozen=True, slots=True)
class _Into:
    """Where pages go, and under which name."""

    source: str
    run_id: str | None
    now: datetime
    alone: Lease
    mark: _Mark

    def keep(self, page: Sequence[ForeignRow], *, changed: bool) -> Accounting:
        """A page in one transaction; `changed`: it is one of those that the watermark follows."""
        with connection() as held:
            self.alone.renew(held)
            rows = [row.content for row in page]
            done = ingest_page(held, self.source, rows, self.run_id, self.now)
            if changed:
                self.mark.move(held, page, self.now)
        return done


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
    name = f"decisions of {source.name}"
    with lease(f"collect {name}", run_id or uuid4().hex) as alone, open_source(source, DECISIONS) as opened:
        into = _Into(source.name, run_id, now, alone, _mark(name, source, opened))
        since = into.mark.at and into.mark.at - timedelta(minutes=source.overlap_minutes)
        for page in pages(opened.changed(since), _letters):
            yield into.keep(page, changed=True)
        if since is None:
            return
        for ids in _pending(source.name, use_case, spec, now):
            for page in pages(opened.named(ids, since), _letters):
                yield into.keep(page, changed=False)


def _mark(name: str, source: SourceSettings, opened: Source) -> _Mark:
    read = digest(opened.place, source.table, source.watermark, dict(opened.columns))
    with connection() as held:
        known = watermark(held, name)
    same = known is not None and known.get("read") == read
    return _Mark(name, read, datetime.fromisoformat(known["at"]) if known and same else None)


def _pending(source: str, use_case: str, spec: RewardSpec, now: datetime) -> Iterator[list[str]]:
    """Ids whose reward waits for something, some thousand at a time."""
    with connection() as held:
        number = known_spec(held, use_case, spec.sha256)
    asked = {"source": source, "spec": number, "awaited_since": now - spec.last_deadline, "limit": PAGE}
    after = 0
    while True:
        asked["after"] = after
        with connection() as held:
            rows = held.execute(PENDING, asked).fetchall()
        if not rows:
            return
        after = rows[-1][0]
        yield [external_id for _, external_id in rows]


def _letters(row: ForeignRow) -> int:
    return letters(row.content)
