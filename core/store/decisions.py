"""Decisions into the store: in pages, each read, held against what is there, and committed or not at all."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from core.accounting import Accounting
from core.decision import COLUMNS, DOCUMENTS, TIMES, Decision, read_decision
from core.document import Unreadable
from core.store.bulk import copy_in, staging
from core.store.engine import connection
from core.store.quarantine import Unusable, quarantine, release

PAGE = 5_000
"""Rows a commit."""
PAGE_BYTES = 32 * 1024 * 1024
"""Bytes of text that end a page before."""
OPTED_IN, NO = "is_training_data", ("false", "f", "0")
"""A column by which an app says that a row may not be trained on, and how it says so."""
TWICE, NOT_MEANT = "given twice", "not for training, says the app"
Row = TypeVar("Row")
TYPES = tuple(
    {**dict.fromkeys(DOCUMENTS, "json"), **dict.fromkeys(TIMES, "timestamptz")}.get(column)
    or {"step": "int4", "confidence": "float8"}.get(column, "text")
    for column in COLUMNS
)
CONTENT = tuple(column for column in COLUMNS if column not in {"external_id", "updated_at"})


def ingest(
    source: str, rows: Iterable[Mapping[str, Any]], *, run_id: str | None = None, now: datetime | None = None
) -> Iterator[Accounting]:
    """Keep a source's decisions, page by page; what became of each page's rows.

    A row that is there already is replaced by one of a later `updated_at`; an equal one changes nothing. Of one id twice in
    a page, or older than what is there, the newest stands and the others go to quarantine.

    Raises: StoreError, and the pages before are kept.
    """
    moment = now or datetime.now(UTC)
    for page in pages(rows, letters):
        with connection() as held:
            done = ingest_page(held, source, page, run_id, moment)
        yield done


def pages(rows: Iterable[Row], size: Callable[[Row], int]) -> Iterator[list[Row]]:
    """Rows in parts that fit into memory, by their number and by their sizes in bytes."""
    page: list[Row] = []
    held_bytes = 0
    for row in rows:
        page.append(row)
        held_bytes += size(row)
        if len(page) == PAGE or held_bytes > PAGE_BYTES:
            yield page
            page, held_bytes = [], 0
    if page:
        yield page


def letters(row: Mapping[str, Any] | Unusable) -> int:
    """About how many bytes a row's texts hold."""
    values = (row.raw,) if isinstance(row, Unusable) else row.values()
    return sum(len(value) for value in values if isinstance(value, str | bytes))


def ingest_page(
    held: psycopg.Connection,
    source: str,
    page: Sequence[Mapping[str, Any] | Unusable],
    run_id: str | None,
    now: datetime,
) -> Accounting:
    """Keep a page in the caller's transaction; a row that its reader could not read goes to quarantine as it is.

    Raises: DataError when the rows don't add up, psycopg.Error.
    """
    usable: dict[str, Decision] = {}
    unusable: list[Unusable] = []
    twice = not_meant = 0
    for values in page:
        if isinstance(values, Unusable):
            unusable.append(values)
            continue
        if str(values.get(OPTED_IN)).lower() in NO:
            not_meant += 1
            continue
        try:
            decision = read_decision(values, now)
        except Unreadable as why:
            unusable.append(_as_it_came(source, values, why.reason, str(why)))
            continue
        known = usable.get(decision.external_id)
        if known == decision:
            twice += 1
            continue
        if known is not None:
            older, decision = sorted((known, decision), key=_age)
            unusable.append(_older(source, older))
        usable[decision.external_id] = decision
    written, older_copies = _upsert(held, source, usable)
    unusable += [_older(source, usable[name]) for name in older_copies]
    quarantine(held, unusable, run_id)
    aside = {row.external_id for row in unusable}
    release(held, source, [name for name in usable if name not in aside])
    return Accounting(
        read=len(page),
        written=written,
        unchanged=len(usable) - written - len(older_copies),
        quarantined=dict(Counter(row.reason for row in unusable)),
        skipped={reason: count for reason, count in ((TWICE, twice), (NOT_MEANT, not_meant)) if count},
    ).checked(f"decisions of {source}")


def _upsert(held: psycopg.Connection, source: str, usable: Mapping[str, Decision]) -> tuple[int, set[str]]:
    """How many were new or changed, and which ids came as older copies of what is there."""
    if not usable:
        return 0, set()
    table = staging(held, "decisions", COLUMNS)
    rows = (tuple(getattr(decision, column) for column in COLUMNS) for decision in usable.values())
    copy_in(held, table, COLUMNS, TYPES, rows)
    older = {name for (name,) in held.execute(OLDER, {"source": source})}
    written = held.execute(UPSERT, {"source": source}).rowcount
    held.execute("DROP TABLE pg_temp.staging")
    return written, older


def _age(decision: Decision) -> tuple[datetime, str]:
    """Of two that were changed at once the same one is the newer, whichever database gives them in whichever order."""
    return decision.updated_at, repr(astuple(decision))


def _older(source: str, decision: Decision) -> Unusable:
    detail = f"a newer version of this id is there: this one was last changed {decision.updated_at:%Y-%m-%d %H:%M:%S} UTC"
    values = {column: getattr(decision, column) for column in COLUMNS}
    return Unusable(source, decision.external_id, "older_copy", detail, _raw(values))


def _as_it_came(source: str, values: Mapping[str, Any], reason: str, detail: str) -> Unusable:
    return Unusable(source, str(values.get("external_id")), reason, detail, _raw(values))


def _raw(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, default=str).encode("utf-8", "replace")


def _columns(columns: Iterable[str], table: str = "") -> sql.Composable:
    """A list of columns; of a table where one is named."""
    named = (sql.Identifier(table, column) if table else sql.Identifier(column) for column in columns)
    return sql.SQL(", ").join(named)


def _content(table: str) -> sql.Composable:
    """What makes a decision another one; json compares as its text."""
    return sql.SQL(", ").join(
        sql.SQL("{}::text" if column in DOCUMENTS else "{}").format(sql.Identifier(table, column))
        for column in CONTENT
    )


_DIFFERENT = sql.SQL("({}) IS DISTINCT FROM ({})")
OLDER = sql.SQL("""
    SELECT s.external_id FROM pg_temp.staging s JOIN overnight.decisions d ON d.source = %(source)s
        AND d.external_id = s.external_id
    WHERE d.updated_at > s.updated_at AND {}
""").format(_DIFFERENT.format(_content("d"), _content("s")))
UPSERT = sql.SQL("""
    INSERT INTO overnight.decisions AS d (source, {columns}) SELECT %(source)s, {columns} FROM pg_temp.staging
    ON CONFLICT (source, external_id) DO UPDATE SET {changes}, revision = d.revision + 1
    WHERE d.updated_at <= excluded.updated_at AND {different}
""").format(
    columns=_columns(COLUMNS),
    changes=sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Identifier("excluded", column))
        for column in COLUMNS
        if column != "external_id"
    ),
    different=_DIFFERENT.format(_content("d"), _content("excluded")),
)
