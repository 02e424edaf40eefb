"""What a rater is shown next, and what he has said so far.

Every rater has an order of his own, the same each time. It shows a question's answers together, so that there is soon one
that he likes beside one that he doesn't, and a widget's looks one after another; a question with many widgets comes again
in each of `ROUNDS` rounds with others of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql

from core.rating import ENTRY, RATING, Entry, Rating, Thumb
from core.store.engine import connection

ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Queue:
    """What one rater wants to see of a source; None stands for all."""

    source: str
    rater_id: str
    scenario: str | None = None
    widget: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rater is with what he wants to see."""

    rated: int
    entries: int


PLACE = sql.SQL("""
    concat(
        get_byte(decode(md5(concat_ws('/', %(rater_id)s::text, e.question_id, e.widget, e.size)), 'hex'), 0) %% {rounds},
        md5(concat_ws('/', %(rater_id)s::text, e.question_id)),
        md5(concat_ws('/', %(rater_id)s::text, e.question_id, e.widget, e.size)),
        md5(concat_ws('/', %(rater_id)s::text, e.entry_id))
    ) COLLATE "C"
""").format(rounds=sql.Literal(ROUNDS))
"""Where an entry stands: the round of its widget, then question by question, widget by widget."""
WANTED = sql.SQL("""
    e.source = %(source)s AND (%(scenario)s::text IS NULL OR e.scenario = %(scenario)s)
        AND (%(widget)s::text IS NULL OR e.widget = %(widget)s)
""")
SHOWN = sql.SQL(", ").join(
    sql.SQL("e.{}::text" if name == "context" else "e.{}").format(sql.Identifier(name)) for name in ENTRY
)
SAID = sql.SQL(", ").join(
    sql.SQL("{}::text" if name == "tags" else "{}").format(sql.Identifier(name)) for name in RATING
)
NEXT = sql.SQL("""
    SELECT {shown} FROM overnight.rated_entries e
    WHERE {wanted} AND NOT EXISTS (
        SELECT FROM overnight.ratings r
        WHERE r.source = e.source AND r.entry_id = e.entry_id AND r.rater_id = %(rater_id)s
    )
    ORDER BY {place} <= (
        SELECT {place} FROM overnight.rated_entries e WHERE e.source = %(source)s AND e.entry_id = %(after)s
    ), {place}
    LIMIT 1
""").format(shown=SHOWN, wanted=WANTED, place=PLACE)
ONE = sql.SQL("SELECT {} FROM overnight.rated_entries e WHERE e.source = %s AND e.entry_id = %s").format(
    SHOWN
)
COUNTS = sql.SQL("""
    SELECT count(r.entry_id), count(*) FROM overnight.rated_entries e LEFT JOIN overnight.ratings r
        ON r.source = e.source AND r.entry_id = e.entry_id AND r.rater_id = %(rater_id)s
    WHERE {}
""").format(WANTED)
VOTE = sql.SQL(
    "SELECT {} FROM overnight.ratings WHERE source = %s AND entry_id = %s AND rater_id = %s"
).format(SAID)
VOTES = sql.SQL("""
    SELECT {} FROM overnight.ratings WHERE source = %s AND rater_id = %s ORDER BY rated_at, number
""").format(SAID)
NAMES = sql.SQL("""
    SELECT DISTINCT {name} FROM overnight.rated_entries WHERE source = %s AND {name} IS NOT NULL ORDER BY 1
""")


def next_entry(queue: Queue, after: str | None = None) -> Entry | None:
    """The first entry behind another one that its rater has not rated yet, or the first of all; None when he is through.

    Raises: StoreError.
    """
    with connection() as held:
        row = held.execute(NEXT, asdict(queue) | {"after": after}).fetchone()
    return None if row is None else Entry(*row)


def entry_named(source: str, entry_id: str) -> Entry | None:
    """One entry. Raises: StoreError."""
    with connection() as held:
        row = held.execute(ONE, (source, entry_id)).fetchone()
    return None if row is None else Entry(*row)


def progress(queue: Queue) -> Progress:
    """How many of the entries are rated. Raises: StoreError."""
    with connection() as held:
        return Progress(*held.execute(COUNTS, asdict(queue)).fetchone() or (0, 0))


def choices(source: str) -> Mapping[str, list[str]]:
    """The scenarios and the kinds of widgets that a source has. Raises: StoreError."""
    with connection() as held:
        return {
            name: [row[0] for row in held.execute(NAMES.format(name=sql.Identifier(name)), (source,))]
            for name in ("scenario", "widget")
        }


def vote_on(source: str, entry_id: str, rater_id: str) -> Rating | None:
    """What a rater thinks of an entry. Raises: StoreError."""
    with connection() as held:
        row = held.execute(VOTE, (source, entry_id, rater_id)).fetchone()
    return None if row is None else _rating(row)


def votes_of(source: str, rater_id: str) -> Iterator[Rating]:
    """All that a rater thinks, in the order in which he said it. Raises: StoreError."""
    with connection() as held:
        yield from map(_rating, held.execute(VOTES, (source, rater_id)).fetchall())


def _rating(row: tuple[Any, ...]) -> Rating:
    named = dict(zip(RATING, row, strict=True))
    return Rating(**named | {"rating": Thumb(named["rating"])})
