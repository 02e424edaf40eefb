"""What raters thought of each entry, added up by the database: one row an entry, question by question."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
    weights: Mapping[str, float] = field(default_factory=dict)
    """Tag -> what a rating with it weighs: 0 doesn't count. Of several tags the lightest decides; 1 without any."""


class Votes(NamedTuple):
    """An entry, what its thumbs weigh, and what raters said."""

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
    up: float
    down: float
    tags: dict[str, int]
    """Tag -> in how many of the ratings that count."""
    notes: list[str]
    """The newest few."""


KEPT_NOTES = 3
COLUMNS = {
    **dict.fromkeys(("entry_id", "question_id", "question", "scenario", "widget", "fixture", "size"), "text"),
    "context": "json",
    **dict.fromkeys(("prompt", "response"), "text"),
}
NEWEST = sql.SQL("""
    SELECT number, entry_id, rating, tags, notes, {weight} AS weight FROM overnight.ratings
    WHERE source = %(source)s ORDER BY rated_at DESC, number DESC LIMIT %(limit)s
""")
COUNTED = sql.SQL("""
    WITH counting AS MATERIALIZED (SELECT * FROM ({newest}) n WHERE weight > 0), votes AS (
        SELECT entry_id, coalesce(sum(weight) FILTER (WHERE rating = 'up'), 0) AS up,
            coalesce(sum(weight) FILTER (WHERE rating = 'down'), 0) AS down,
            (array_agg(notes ORDER BY number DESC) FILTER (WHERE notes <> ''))[:{notes}] AS notes
        FROM counting GROUP BY 1
    ), tagged AS (
        SELECT entry_id, json_object_agg(tag, times ORDER BY tag COLLATE "C") AS tags
        FROM (SELECT entry_id, tag, count(*) AS times FROM counting, jsonb_array_elements_text(tags) tag WHERE tag IS NOT NULL
            GROUP BY 1, 2) n GROUP BY 1
    )
    SELECT {columns}, v.up, v.down, coalesce(t.tags, '{{}}'), to_json(coalesce(v.notes, '{{}}'))
    FROM votes v JOIN overnight.rated_entries e ON e.source = %(source)s AND e.entry_id = v.entry_id
    LEFT JOIN tagged t ON t.entry_id = v.entry_id
    ORDER BY e.question_id COLLATE "C", e.entry_id COLLATE "C"
""")
LEFT_OUT = sql.SQL("""
    SELECT count(*) FILTER (WHERE weight = 0), (SELECT count(*) FROM overnight.ratings WHERE source = %(source)s) - count(*)
    FROM ({newest}) n
""")
KINDS = """
    SELECT widget, array_agg(DISTINCT fixture ORDER BY fixture) FILTER (WHERE fixture IS NOT NULL),
        array_agg(DISTINCT size ORDER BY size)
    FROM overnight.rated_entries WHERE source = %s AND widget IS NOT NULL GROUP BY 1 ORDER BY widget COLLATE "C"
"""


def counted(held: psycopg.Connection, asked: Asked) -> Iterator[Votes]:
    """Every entry that somebody rated, question by question. Raises: psycopg.Error."""
    columns = sql.SQL(", ").join(sql.Identifier("e", name) for name in COLUMNS)
    query = COUNTED.format(newest=_newest(asked), columns=columns, notes=KEPT_NOTES)
    types = (*COLUMNS.values(), "float8", "float8", "json", "json")
    return map(Votes._make, stream(held, query, types, _parameters(asked)))


def uncounted(held: psycopg.Connection, asked: Asked) -> dict[str, int]:
    """How many ratings don't count, by reason. Raises: psycopg.Error."""
    found = held.execute(LEFT_OUT.format(newest=_newest(asked)), _parameters(asked)).fetchone()
    unsure, beyond = found or (0, 0)
    return {reason: count for reason, count in ((UNSURE, unsure), (BEYOND, beyond)) if count}


def kinds(held: psycopg.Connection, source: str) -> dict[str, tuple[list[str], list[str]]]:
    """The widgets that a source has shown, each with its looks and sizes. Raises: psycopg.Error."""
    return {widget: (looks or [], sizes) for widget, looks, sizes in held.execute(KINDS, (source,))}


def _newest(asked: Asked) -> sql.Composed:
    """The ratings, the lightest tag first: the first that fits decides."""
    cases = [
        sql.SQL("WHEN tags ?| {}::text[] THEN {}::float8").format(sql.Placeholder(f"tags_{place}"), weight)
        for place, weight in enumerate(_weights(asked))
    ]
    weight = sql.SQL("CASE {} ELSE 1 END").format(sql.SQL(" ").join(cases)) if cases else sql.SQL("1::float8")
    return NEWEST.format(weight=weight)


def _parameters(asked: Asked) -> dict[str, Any]:
    tags = {f"tags_{place}": tags for place, tags in enumerate(_weights(asked).values())}
    return {"source": asked.source, "limit": asked.limit} | tags


def _weights(asked: Asked) -> dict[float, list[str]]:
    """Weight -> its tags, the lightest first."""
    found: dict[float, list[str]] = {}
    for tag, weight in sorted(asked.weights.items(), key=lambda pair: (pair[1], pair[0])):
        found.setdefault(weight, []).append(tag)
    return found
