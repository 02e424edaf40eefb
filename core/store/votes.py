"""What raters thought of each entry, counted by the database: one row an entry, question by question."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from core.store.bulk import stream

UNSURE, BEYOND = "rater was not sure", "older than the newest that count"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose ratings count."""

    source: str
    limit: int | None = None
    """Only so many, the newest."""
    unsure: Sequence[str] = ()
    """Tags of a rating that doesn't count."""


class Votes(NamedTuple):
    """An entry and how many thumbs it has."""

    entry_id: str
    question_id: str
    question: str
    scenario: str | None
    widget: str | None
    fixture: str | None
    size: str | None
    context: dict[str, Any] | None
    prompt: str | None
    response: str | None
    up: int
    down: int


COLUMNS = {
    **dict.fromkeys(("entry_id", "question_id", "question", "scenario", "widget", "fixture", "size"), "text"),
    "context": "json",
    **dict.fromkeys(("prompt", "response"), "text"),
}
NEWEST = sql.SQL("""
    SELECT number, entry_id, rating, tags ?| %(unsure)s::text[] AS unsure FROM overnight.ratings
    WHERE source = %(source)s ORDER BY rated_at DESC, number DESC LIMIT %(limit)s
""")
COUNTED = sql.SQL("""
    WITH votes AS (
        SELECT entry_id, count(*) FILTER (WHERE rating = 'up') AS up, count(*) FILTER (WHERE rating = 'down') AS down
        FROM ({newest}) n WHERE NOT unsure GROUP BY 1
    )
    SELECT {columns}, v.up, v.down
    FROM votes v JOIN overnight.rated_entries e ON e.source = %(source)s AND e.entry_id = v.entry_id
    ORDER BY e.question_id COLLATE "C", e.entry_id COLLATE "C"
""").format(newest=NEWEST, columns=sql.SQL(", ").join(sql.Identifier("e", name) for name in COLUMNS))
LEFT_OUT = sql.SQL("""
    SELECT count(*) FILTER (WHERE unsure), (SELECT count(*) FROM overnight.ratings WHERE source = %(source)s) - count(*)
    FROM ({newest}) n
""").format(newest=NEWEST)
KINDS = """
    SELECT widget, array_agg(DISTINCT fixture ORDER BY fixture) FILTER (WHERE fixture IS NOT NULL),
        array_agg(DISTINCT size ORDER BY size)
    FROM overnight.rated_entries WHERE source = %s AND widget IS NOT NULL GROUP BY 1 ORDER BY widget COLLATE "C"
"""


def counted(held: psycopg.Connection, asked: Asked) -> Iterator[Votes]:
    """Every entry that somebody rated, question by question. Raises: psycopg.Error."""
    types = (*COLUMNS.values(), "int8", "int8")
    return map(Votes._make, stream(held, COUNTED, types, _parameters(asked)))


def uncounted(held: psycopg.Connection, asked: Asked) -> dict[str, int]:
    """How many ratings don't count, by reason. Raises: psycopg.Error."""
    unsure, beyond = held.execute(LEFT_OUT, _parameters(asked)).fetchone() or (0, 0)
    return {reason: count for reason, count in ((UNSURE, unsure), (BEYOND, beyond)) if count}


def kinds(held: psycopg.Connection, source: str) -> dict[str, tuple[list[str], list[str]]]:
    """The widgets that a source has shown, each with its looks and sizes. Raises: psycopg.Error."""
    return {widget: (looks or [], sizes) for widget, looks, sizes in held.execute(KINDS, (source,))}


def _parameters(asked: Asked) -> dict[str, Any]:
    return asdict(asked) | {"unsure": list(asked.unsure)}
