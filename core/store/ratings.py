"""What was rated, and how, into the store: in pages, each read, held against what is there, and committed or not at all."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from core.accounting import Accounting
from core.document import Unreadable
from core.rating import ENTRY, NOBODY, RATING, Entry, Rating, read_entry, read_rating
from core.store.bulk import copy_in, staging
from core.store.engine import connection
from core.store.pages import letters, pages
from core.store.quarantine import Unusable, quarantine, release

OLDER, TWICE = "older vote of the same rater", "given twice"
WAITS, IS_ANOTHER = "unknown_entry", "duplicate_entry"
"""Why rows are refused that no later row of the same name replaces: a vote that waits for its entry, and another entry."""
ANOTHER = (
    "another entry has this id: give every entry one of its own, or the other simulation a source of its own (for files "
    "file_source)"
)
Read = TypeVar("Read", Entry, Rating)
Row = Mapping[str, Any] | Unusable
ENTRY_TYPES = tuple("json" if name == "context" else "text" for name in ENTRY)
RATING_TYPES = tuple({"tags": "jsonb", "rated_at": "timestamptz"}.get(name, "text") for name in RATING)


def ingest_entries(
    source: str, rows: Iterable[Row], *, run_id: str | None = None, refused: set[Entry] | None = None
) -> Iterator[Accounting]:
    """Keep what was rated, page by page. An id that stands for something else already goes to quarantine.

    `refused` gets those entries. Raises: StoreError, and the pages before are kept.
    """
    for page in pages(rows, letters):
        with connection() as held:
            done = entries_page(held, source, page, run_id, refused)
        yield done


def ingest_ratings(
    source: str, rows: Iterable[Row], *, run_id: str | None = None, now: datetime | None = None
) -> Iterator[Accounting]:
    """Keep ratings, page by page: a rater's latest on an entry stands, and an equal one changes nothing.

    Ratings of entries that are not there go to quarantine. Raises: StoreError, and the pages before are kept.
    """
    moment = now or datetime.now(UTC)
    for page in pages(rows, letters):
        with connection() as held:
            done = ratings_page(held, source, page, run_id, moment)
        yield done


@dataclass(frozen=True, slots=True)
class _Page:
    """A page's rows as far as they could be read."""

    source: str
    rows: Sequence[Row]
    unusable: list[Unusable]
    skipped: Counter[str]
    of_votes: bool = False
    """Else of entries."""

    def each(self, read: Callable[[Mapping[str, Any]], Read]) -> Iterator[Read]:
        """Those that can be read; the others are kept aside."""
        for values in self.rows:
            if isinstance(values, Unusable):
                self.unusable.append(values)
                continue
            try:
                yield read(values)
            except Unreadable as why:
                raw = json.dumps(dict(values), default=str).encode("utf-8", "replace")
                name = values.get("entry_id")
                name = vote_name(name, values.get("rater_id")) if self.of_votes else str(name)
                self.refuse(name, why.reason, str(why), raw)

    def refuse(self, name: str, reason: str, detail: str, raw: bytes) -> None:
        """Keep one aside."""
        self.unusable.append(Unusable(self.source, name, reason, detail, raw))

    def accounted(
        self, held: psycopg.Connection, written: int, usable: Sequence[str], run_id: str | None
    ) -> Accounting:
        """Quarantine what can't be used, release what can, and say what became of every row."""
        quarantine(held, self.unusable, run_id)
        in_use = sorted({*usable} - {row.external_id for row in self.unusable})
        release(held, self.source, in_use, but_for=(WAITS, IS_ANOTHER))
        return Accounting(
            read=len(self.rows),
            written=written,
            unchanged=len(usable) - written,
            quarantined=dict(Counter(row.reason for row in self.unusable)),
            skipped=dict(self.skipped),
        ).checked(f"what {self.source} rated")


def entries_page(
    held: psycopg.Connection,
    source: str,
    rows: Sequence[Row],
    run_id: str | None = None,
    refused: set[Entry] | None = None,
) -> Accounting:
    """Keep a page of entries, and ratings that waited for them, in the caller's transaction.

    `refused` gets the entries whose id stands for something else.

    Raises: DataError when rows don't add up, psycopg.Error.
    """
    others = refused if refused is not None else set[Entry]()
    page = _Page(source, rows, [], Counter())
    usable: dict[str, Entry] = {}
    for entry in page.each(read_entry):
        known = usable.setdefault(entry.entry_id, entry)
        if known != entry:
            _another(page, entry)
            others.add(entry)
        elif known is not entry:
            page.skipped[TWICE] += 1
    if usable:
        table = staging(held, "rated_entries", ENTRY, "entries")
        copy_in(held, table, ENTRY, ENTRY_TYPES, map(astuple, usable.values()))
        for (name,) in held.execute(OTHERS, {"source": source}):
            others.add(usable[name])
            _another(page, usable.pop(name))
        written = held.execute(KEEP_ENTRIES, {"source": source}).rowcount
        held.execute("DROP TABLE pg_temp.entries")
    early = _came_before(held, source, list(usable))
    done = page.accounted(held, written if usable else 0, list(usable), run_id)
    return done + ratings_page(held, source, early, run_id, datetime.now(UTC)) if early else done


def _came_before(held: psycopg.Connection, source: str, entries: Sequence[str]) -> list[dict[str, Any]]:
    """The ratings that wait in quarantine for these entries, taken out: whoever gave them may not give them again."""
    waiting = held.execute(WAITING, {"source": source, "entries": list(entries), "reason": WAITS})
    return [dict(zip(RATING, json.loads(raw), strict=True)) for (raw,) in waiting]


def ratings_page(
    held: psycopg.Connection, source: str, rows: Sequence[Row], run_id: str | None, now: datetime
) -> Accounting:
    """Keep a page of ratings in the caller's transaction. Raises: DataError when rows don't add up, psycopg.Error.

    The same vote again changes nothing but its time: an older one of another kind does not outdo it then.
    """
    page = _Page(source, rows, [], Counter(), of_votes=True)
    usable: dict[tuple[str, str], Rating] = {}
    for rating in page.each(lambda values: read_rating(values, now)):
        key = (rating.entry_id, rating.rater_id)
        known = usable.get(key)
        if known is not None:
            page.skipped[TWICE if _vote(known) == _vote(rating) else OLDER] += 1
        if known is None or rating.rated_at >= known.rated_at:
            usable[key] = rating
    if usable:
        table = staging(held, "ratings", RATING, "votes")
        copy_in(held, table, RATING, RATING_TYPES, map(astuple, usable.values()))
        for entry_id, rater_id in held.execute(UNKNOWN, {"source": source}).fetchall():
            _of_nothing(page, usable.pop((entry_id, rater_id)))
        for entry_id, rater_id in held.execute(OVERTAKEN, {"source": source}).fetchall():
            del usable[entry_id, rater_id]
            page.skipped[OLDER] += 1
        written = held.execute(KEEP_RATINGS, {"source": source}).rowcount
        held.execute(SAID_AGAIN, {"source": source})
        held.execute("DROP TABLE pg_temp.votes")
    return page.accounted(held, written if usable else 0, [vote_name(*key) for key in usable], run_id)


def vote_name(entry_id: Any, rater_id: Any) -> str:
    """What a vote is called in quarantine: another rater's on the same entry is another."""
    return f"{entry_id} by {rater_id or NOBODY}"


def of_another(source: str, values: Mapping[str, Any]) -> Unusable:
    """A vote that can't count: it was given to something else than what its entry's id stands for."""
    raw = json.dumps(dict(values), default=str).encode("utf-8", "replace")
    name = vote_name(values.get("entry_id"), values.get("rater_id"))
    return Unusable(source, name, IS_ANOTHER, ANOTHER, raw)


def _vote(rating: Rating) -> tuple[Any, ...]:
    return rating.rating, rating.tags, rating.notes, rating.model_version


def _another(page: _Page, entry: Entry) -> None:
    page.refuse(
        entry.entry_id,
        IS_ANOTHER,
        ANOTHER,
        json.dumps(astuple(entry)).encode(),
    )


def _of_nothing(page: _Page, rating: Rating) -> None:
    page.refuse(
        rating.entry_id,
        WAITS,
        "no entry has this id: import the entries first",
        json.dumps(astuple(rating), default=str).encode(),
    )


def _listed(columns: Iterable[str], table: str = "", *, as_text: Sequence[str] = ()) -> sql.Composable:
    return sql.SQL(", ").join(
        sql.SQL("{}::text" if name in as_text else "{}").format(
            sql.Identifier(table, name) if table else sql.Identifier(name)
        )
        for name in columns
    )


OTHERS = sql.SQL("""
    SELECT n.entry_id FROM pg_temp.entries n JOIN overnight.rated_entries e
        ON e.source = %(source)s AND e.entry_id = n.entry_id
    WHERE ({}) IS DISTINCT FROM ({})
""").format(_listed(ENTRY, "e", as_text=("context",)), _listed(ENTRY, "n", as_text=("context",)))
KEEP_ENTRIES = sql.SQL("""
    INSERT INTO overnight.rated_entries (source, {columns}) SELECT %(source)s, {columns} FROM pg_temp.entries
    ON CONFLICT (source, entry_id) DO NOTHING
""").format(columns=_listed(ENTRY))
WAITING = """
    UPDATE overnight.quarantine SET released_at = now()
    WHERE source = %(source)s AND external_id = ANY (%(entries)s) AND reason = %(reason)s AND released_at IS NULL
    RETURNING raw
"""
UNKNOWN = """
    DELETE FROM pg_temp.votes v WHERE NOT EXISTS (
        SELECT FROM overnight.rated_entries e WHERE e.source = %(source)s AND e.entry_id = v.entry_id
    ) RETURNING v.entry_id, v.rater_id
"""
VOTE = ("rating", "tags", "notes", "model_version")
DIFFERENT = sql.SQL("({}) IS DISTINCT FROM ({})").format(_listed(VOTE, "r"), _listed(VOTE, "v"))
OVERTAKEN = sql.SQL("""
    DELETE FROM pg_temp.votes v USING overnight.ratings r
    WHERE r.source = %(source)s AND r.entry_id = v.entry_id AND r.rater_id = v.rater_id
        AND r.rated_at > v.rated_at AND {}
    RETURNING v.entry_id, v.rater_id
""").format(DIFFERENT)
SAID_AGAIN = """
    UPDATE overnight.ratings r SET rated_at = v.rated_at FROM pg_temp.votes v
    WHERE r.source = %(source)s AND r.entry_id = v.entry_id AND r.rater_id = v.rater_id AND r.rated_at < v.rated_at
"""
KEEP_RATINGS = sql.SQL("""
    INSERT INTO overnight.ratings AS r (source, {columns}) SELECT %(source)s, {columns} FROM pg_temp.votes v
    ON CONFLICT (source, entry_id, rater_id) DO UPDATE SET {changes}, revision = r.revision + 1, used_at = NULL,
        claimed_by = NULL
    WHERE {different}
""").format(
    columns=_listed(RATING),
    changes=sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
        for name in RATING
        if name not in ("entry_id", "rater_id")
    ),
    different=sql.SQL("({}) IS DISTINCT FROM ({})").format(_listed(VOTE, "r"), _listed(VOTE, "excluded")),
)
