"""What the reward ledger holds: by agent type, by version, by day, and what could not be used."""

from datetime import UTC, date, datetime, time

import psycopg

from core.record import Record
from core.reward_moments import NOTHING
from core.statistics import rank_correlation
from core.store.engine import connection
from core.store.reward_specs import version_before

COMPARED = 100_000
"""Rewards of two versions that are held against each other, at most: every so many-th."""


class StatusCount(Record):
    """Rewards of one agent type and status."""

    agent_type: str
    status: str
    """'pending' or 'final'; ', nothing known' where there is no value yet, or was none until the last deadline."""
    count: int
    mean_normalized: float | None


class ModelCount(Record):
    """Rewards of the decisions that one model made; means are of those that are known."""

    agent_type: str
    model_version: str
    decisions: int
    confirmed: int
    """That the user agreed with."""
    refused: int
    """Corrected or overridden by the user."""
    mean_total: float | None
    last: datetime
    """When it decided last."""


class Unused(Record):
    """What is in quarantine for one reason, and one of the rows."""

    reason: str
    count: int
    example: str


class VersionChange(Record):
    """How alike a version ranks an agent type's decisions to the version before; None where nothing differs to rank."""

    before: str
    agent_type: str
    count: int
    correlation: float | None


class Day(Record):
    """Decisions of a day, and those that lack a reward by the version."""

    day: date
    decisions: int
    lacking: int

    @property
    def start(self) -> datetime:
        """Its first moment, in UTC."""
        return datetime.combine(self.day, time(), UTC)


def status_counts(spec: int) -> list[StatusCount]:
    """All rewards by one version, by agent type and status. Raises: StoreError."""
    query = """
        SELECT d.agent_type, r.status || CASE WHEN r.total IS NULL THEN %s ELSE '' END, count(*), avg(r.normalized)
        FROM overnight.rewards r JOIN overnight.decisions d ON d.number = r.subject
        WHERE r.spec = %s GROUP BY 1, 2 ORDER BY 1, 2
    """
    with connection() as held:
        return [
            StatusCount(agent_type=agent, status=status, count=count, mean_normalized=mean)
            for agent, status, count, mean in held.execute(query, (NOTHING, spec))
        ]


def model_counts(spec: int, most: int) -> list[ModelCount]:
    """Rewards by one version by the model that decided, those that decided last first, at most so many. Raises: StoreError."""
    query = """
        SELECT d.agent_type, d.model_version, count(*), count(*) FILTER (WHERE d.feedback = 'CONFIRMED'),
            count(*) FILTER (WHERE d.feedback IN ('CORRECTED', 'OVERRIDDEN')), avg(r.total), max(d.created_at)
        FROM overnight.rewards r JOIN overnight.decisions d ON d.number = r.subject
        WHERE r.spec = %s GROUP BY 1, 2 ORDER BY 7 DESC, 1, 2 LIMIT %s
    """
    with connection() as held:
        rows = held.execute(query, (spec, most)).fetchall()
    return [
        ModelCount.model_validate(dict(zip(ModelCount.model_fields, row, strict=True)))
        for row in sorted(rows, key=lambda row: row[0])
    ]


def unused_rows(source: str) -> list[Unused]:
    """What is in quarantine under a source, the most frequent reason first. Raises: StoreError."""
    query = """
        SELECT reason, count(DISTINCT external_id), min(detail) FROM overnight.quarantine
        WHERE source = %s AND released_at IS NULL GROUP BY 1 ORDER BY 2 DESC, 1
    """
    with connection() as held:
        return [
            Unused(reason=reason, count=count, example=example)
            for reason, count, example in held.execute(query, (source,))
        ]


def version_change(use_case: str, spec: int) -> list[VersionChange]:
    """The rank correlation of the totals with those by the version before, by agent type; nothing for the first version.

    Raises: StoreError.
    """
    with connection() as held:
        earlier = version_before(held, use_case, spec)
        if earlier is None:
            return []
        number, name = earlier
        pairs = _pairs(held, number, spec)
    return [
        VersionChange(
            before=name,
            agent_type=agent,
            count=len(totals),
            correlation=rank_correlation(*zip(*totals, strict=True)),
        )
        for agent, totals in sorted(pairs.items())
    ]


def days_lacking(spec: int, since: date, until: date) -> list[Day]:
    """Days of a range, its last included, with decisions that lack a reward by this version. Raises: StoreError."""
    query = """
        SELECT (d.created_at AT TIME ZONE 'UTC')::date, count(*), count(*) FILTER (WHERE r.subject IS NULL)
        FROM overnight.decisions d LEFT JOIN overnight.rewards r ON r.spec = %s AND r.subject = d.number
        WHERE d.created_at >= %s::timestamp AT TIME ZONE 'UTC'
            AND d.created_at < (%s::date + 1)::timestamp AT TIME ZONE 'UTC'
        GROUP BY 1 HAVING count(*) > count(r.subject) ORDER BY 1
    """
    with connection() as held:
        return [
            Day(day=day, decisions=decisions, lacking=lacking)
            for day, decisions, lacking in held.execute(query, (spec, since, until))
        ]


def _pairs(held: psycopg.Connection, before: int, spec: int) -> dict[str, list[tuple[float, float]]]:
    """Totals by both versions, of every so many-th decision that has both."""
    (count,) = held.execute(
        "SELECT count(*) FROM overnight.rewards WHERE spec = %s", (before,)
    ).fetchone() or (0,)
    query = """
        SELECT d.agent_type, old.total, new.total
        FROM overnight.rewards old JOIN overnight.rewards new USING (subject)
            JOIN overnight.decisions d ON d.number = old.subject
        WHERE old.spec = %s AND new.spec = %s AND old.total IS NOT NULL AND new.total IS NOT NULL AND old.subject %% %s = 0
    """
    pairs: dict[str, list[tuple[float, float]]] = {}
    for agent, old, new in held.execute(query, (before, spec, 1 + count // COMPARED)):
        pairs.setdefault(agent, []).append((old, new))
    return pairs
