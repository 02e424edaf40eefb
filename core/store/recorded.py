"""What apps recorded, into the store: a page of a spool is kept once, whatever was killed in between."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from core.accounting import Accounting
from core.decision import TIMES
from core.document import encoded
from core.recording.entry import Entry, decision_values
from core.recording.feedback import DOCUMENTS, LATER, merged
from core.store.bulk import copy_in, staging
from core.store.decisions import ingest_page
from core.store.engine import connection
from core.store.quarantine import Unusable
from core.store.watermarks import move_watermark, watermark
from core.value import moment

NOT_THERE = "decision not there yet"
COLUMNS = ("external_id", *LATER, "updated_at")
TYPES = tuple(
    "json" if name in DOCUMENTS else "timestamptz" if name.endswith("_at") else "text" for name in COLUMNS
)
READ = (*LATER, "created_at")
KNOWN = sql.SQL("""
    SELECT external_id, {} FROM overnight.decisions WHERE source = %s AND external_id = ANY (%s)
    ORDER BY number FOR UPDATE
""").format(
    sql.SQL(", ").join(
        sql.SQL("{}::text" if name in DOCUMENTS else "{}").format(sql.Identifier(name)) for name in READ
    )
)
UPDATE = sql.SQL("""
    UPDATE overnight.decisions d SET {}, updated_at = greatest(d.updated_at, s.updated_at), revision = d.revision + 1
    FROM pg_temp.news s WHERE d.source = %s AND d.external_id = s.external_id
""").format(sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in LATER))
ARRIVED = """
    DELETE FROM overnight.waiting_feedback w USING overnight.decisions d
    WHERE w.source = %s AND d.source = w.source AND d.external_id = w.external_id
    RETURNING w.number, w.external_id, w.news, w.recorded_at
"""
WAIT = (
    "INSERT INTO overnight.waiting_feedback (source, external_id, news, recorded_at) VALUES (%s, %s, %s, %s)"
)


@dataclass(slots=True)
class _News:
    """What is known of some decisions, while news of them is laid over it."""

    known: dict[str, dict[str, str | None]]
    changed: dict[str, datetime] = field(default_factory=dict)
    """Ids that are to be written, and when the last news came."""

    def take(self, name: str, news: Mapping[str, str], at: datetime) -> bool:
        """Lay news over what is known; whether that changed anything."""
        after = merged(self.known[name], news)
        if after == self.known[name]:
            return False
        self.known[name] = after
        self.changed[name] = max(at, self.changed.get(name, at))
        return True


def kept_until(spool: str) -> int:
    """How many bytes of a spool's file are in the store. Raises: StoreError."""
    with connection() as held:
        known = watermark(held, _mark(spool))
    return 0 if known is None else int(known["bytes"])


def keep_recorded(
    source: str, spool: str, entries: Sequence[Entry | Unusable], *, start: int, end: int, now: datetime
) -> Accounting:
    """Keep the lines of a spool's file between two bytes, in one transaction with how far it was read.

    Lines that somebody else has kept meanwhile are left to him. Raises: StoreError, and nothing is kept.
    """
    with connection() as held:
        held.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"recorded {source}",))
        known = watermark(held, _mark(spool))
        if known is not None and int(known["bytes"]) != start:
            return Accounting()
        total = _keep_decisions(held, source, entries, now) + _keep_feedback(held, source, entries)
        move_watermark(held, _mark(spool), {"bytes": end})
    return total.checked(f"what {source} recorded")


def forget(spool: str) -> None:
    """A spool's file is gone, and with it how far it was read. Raises: StoreError."""
    with connection() as held:
        held.execute("DELETE FROM overnight.watermarks WHERE name = %s", (_mark(spool),))


def _keep_decisions(
    held: psycopg.Connection, source: str, entries: Sequence[Entry | Unusable], now: datetime
) -> Accounting:
    """One that is there already keeps what became known of it since."""
    names = [entry.id for entry in entries if isinstance(entry, Entry) and entry.kind == "decision"]
    known = _known(held, source, names)
    rows: list[Mapping[str, Any] | Unusable] = []
    for entry in entries:
        if isinstance(entry, Unusable):
            rows.append(entry)
        elif entry.kind == "refused":
            told = entry.values
            rows.append(Unusable(source, entry.id, told["reason"], told["detail"], told["raw"].encode()))
        elif entry.kind == "decision":
            values = decision_values(entry, known.get(entry.id))
            known.setdefault(entry.id, {"created_at": values["created_at"]})
            rows.append(values)
    return ingest_page(held, source, rows, None, now)


def _keep_feedback(held: psycopg.Connection, source: str, entries: Sequence[Entry | Unusable]) -> Accounting:
    arrived = sorted(held.execute(ARRIVED, (source,)).fetchall())
    given = [(name, news, at) for _, name, news, at in arrived]
    given += [
        (entry.id, entry.values, entry.at)
        for entry in entries
        if isinstance(entry, Entry) and entry.kind == "feedback"
    ]
    if not given:
        return Accounting()
    news = _News(_known(held, source, [name for name, _, _ in given]))
    ends: Counter[str] = Counter()
    for name, values, at in given:
        if name in news.known:
            ends["written" if news.take(name, values, at) else "unchanged"] += 1
        else:
            held.execute(WAIT, (source, name, Jsonb(values), at))
            ends[NOT_THERE] += 1
    _write(held, source, news)
    waiting = {NOT_THERE: ends[NOT_THERE]} if ends[NOT_THERE] else {}
    return Accounting(read=len(given), written=ends["written"], unchanged=ends["unchanged"], skipped=waiting)


def _write(held: psycopg.Connection, source: str, news: _News) -> None:
    if not news.changed:
        return
    table = staging(held, "decisions", COLUMNS, "news")
    rows = ((name, *_read(news.known[name]), at) for name, at in news.changed.items())
    copy_in(held, table, COLUMNS, TYPES, rows)
    held.execute(UPDATE, (source,))
    held.execute("DROP TABLE pg_temp.news")


def _read(known: Mapping[str, str | None]) -> Iterator[str | datetime | None]:
    """What is known later, its times as times."""
    for column in LATER:
        yield moment(column, known[column]) if column in TIMES else known[column]


def _known(held: psycopg.Connection, source: str, names: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """When those decisions that are there were made and what is known of them since, spelt as `read_feedback` spells it."""
    found = held.execute(KNOWN, (source, sorted(set(names)))).fetchall()
    return {row[0]: dict(zip(READ, map(_spelt, READ, row[1:]), strict=True)) for row in found}


def _spelt(name: str, value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if value is None or name not in DOCUMENTS:
        return value
    return encoded(name, json.loads(value))


def _mark(spool: str) -> str:
    return f"spool {spool}"
