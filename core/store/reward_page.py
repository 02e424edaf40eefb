"""One page of a reward ledger: decisions in, rewards out, in one transaction."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg import sql

from core.accounting import Accounting
from core.document import Unreadable
from core.reward import CODE, Reward, Scorer
from core.reward_moments import Moments
from core.store.bulk import copy_in, staging
from core.store.quarantine import Unusable, quarantine, release

PAGE = 20_000
"""Decisions a commit."""
FETCHED = 2_000
"""Decisions that are in memory at once."""
COLUMNS = ("spec", "subject", "status", "components", "total", "normalized", "revision", "due_at", "code")
TYPES = ("int4", "int8", "text", "jsonb", "float8", "float8", "int8", "timestamptz", "text")
CODE_HERE = CODE[:12]
NO_WEIGHTS = "no_weights"


@dataclass(frozen=True, slots=True)
class Ledger:
    """One use case's rewards by one version, and the moment they are computed for."""

    use_case: str
    spec: int
    scorer: Scorer
    as_of: datetime
    since: datetime | None = None
    """Only decisions made from then on."""
    until: datetime | None = None
    """Only decisions made before."""
    rows_of: str | None = None
    """Only decisions of this source."""
    run_id: str | None = None

    @property
    def source(self) -> str:
        """What its unusable rows are kept under; their id there is the decision's number."""
        return source_of(self.use_case)


def source_of(use_case: str) -> str:
    """The name under which quarantine keeps decisions that have no reward for what they are."""
    return f"rewards of {use_case}"


@dataclass(slots=True)
class Page:
    """What became of a page's decisions."""

    last: int = 0
    """The highest number that was read; 0 when there was none."""
    accounting: Accounting = field(default_factory=Accounting)
    moments: Moments = field(default_factory=Moments)
    changed: list[int] = field(default_factory=list)
    """Subjects that had a reward and are others now: the decision itself, its total, or that it has one."""


@dataclass(slots=True)
class Scored:
    """A page's rows as they will be written."""

    first: list[tuple[Any, ...]] = field(default_factory=list)
    again: list[tuple[Any, ...]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    """Subjects that had a reward, of another total or another state of the decision."""
    gone: list[int] = field(default_factory=list)
    """Of the subjects without a reward, those that had one."""
    unusable: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    moments: Moments = field(default_factory=Moments)
    last: int = 0
    read: int = 0


def compute_page(held: psycopg.Connection, ledger: Ledger, after: int) -> Page:
    """Score the next decisions after a number that lack a reward, changed since, or reached a deadline.

    Raises: psycopg.Error, DataError.
    """
    scored = score_rows(ledger, _due(held, ledger, after))
    if scored.read == 0:
        return Page()
    written = copy_in(held, "rewards", COLUMNS, TYPES, scored.first)
    updated = _update(held, scored.again)
    changed = scored.changed + _remove(held, ledger, scored.gone)
    _keep_aside(held, ledger, scored)
    accounting = Accounting(
        read=scored.read,
        written=written + updated,
        unchanged=len(scored.again) - updated,
        quarantined=dict(Counter(reason for _, reason, _, _ in scored.unusable)),
        skipped=dict(scored.skipped),
    )
    return Page(scored.last, accounting.checked(ledger.source), scored.moments, changed)


def _due(held: psycopg.Connection, ledger: Ledger, after: int) -> Iterator[tuple[Any, ...]]:
    parameters = {
        "spec": ledger.spec,
        "as_of": ledger.as_of,
        "after": after,
        "page": PAGE,
        "largest": LARGEST,
        "since": ledger.since,
        "until": ledger.until,
        "rows_of": ledger.rows_of,
    }
    window = any(value is not None for value in (ledger.since, ledger.until, ledger.rows_of))
    with held.cursor("due", binary=True) as cursor:
        cursor.execute(DUE_IN_WINDOW if window else DUE, parameters)
        while rows := cursor.fetchmany(FETCHED):
            yield from rows


def score_rows(ledger: Ledger, rows: Iterator[tuple[Any, ...]]) -> Scored:
    """Rows as they come, so that only what is written of them is held in memory."""
    scored = Scored()
    for (
        number,
        revision,
        agent_type,
        feedback,
        given,
        components,
        created_at,
        outcome_at,
        known,
        total,
    ) in rows:
        scored.read += 1
        scored.last = number
        reward: Reward | None = None
        try:
            if agent_type in ledger.scorer.names:
                reward = ledger.scorer.score(
                    agent_type,
                    _parsed(components, given),
                    feedback,
                    created_at=created_at,
                    outcome_at=outcome_at,
                    as_of=ledger.as_of,
                )
            else:
                scored.skipped[NO_WEIGHTS] += 1
        except Unreadable as why:
            scored.unusable.append((number, why.reason, str(why), (components or "").encode()))
        if reward is not None:
            row = _row(ledger.spec, number, revision, reward)
            (scored.first if known is None else scored.again).append(row)
            if known is not None and (known != revision or total != reward.total):
                scored.changed.append(number)
            scored.moments.add(agent_type, reward)
        elif known is not None:
            scored.gone.append(number)
    return scored


def _row(spec: int, number: int, revision: int, reward: Reward) -> tuple[Any, ...]:
    """A reward as the table has it, in the order of `COLUMNS`."""
    parts = orjson.dumps(reward.components).decode()
    status, _, _, total, normalized, due_at = reward
    return spec, number, status, parts, total, normalized, revision, due_at, CODE_HERE


def _parsed(components: str | None, given: bool) -> Any:
    """Raises: Unreadable, also where some are given and too large to be fetched."""
    if given and components is None:
        raise Unreadable("oversize", f"components take more than {LARGEST // 1024} kB")
    try:
        return None if components is None else orjson.loads(components)
    except orjson.JSONDecodeError as error:  # jsonb holds numbers that no float can, and any depth
        reason = "non_finite" if "infinity" in error.msg else "bad_json"
        raise Unreadable(reason, f"components can't be read: {error.msg}") from error


def _update(held: psycopg.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """How many rewards became others; where only the decision's revision did, that alone is noted."""
    if not rows:
        return 0
    copy_in(held, staging(held, "rewards", COLUMNS), COLUMNS, TYPES, rows)
    written = sum(other for (other,) in held.execute(UPSERT))
    held.execute("DROP TABLE pg_temp.staging")
    return written


def _remove(held: psycopg.Connection, ledger: Ledger, subjects: Sequence[int]) -> list[int]:
    """Rewards of decisions that can't be used any more are none."""
    if not subjects:
        return []
    query = "DELETE FROM overnight.rewards WHERE spec = %s AND subject = ANY (%s) RETURNING subject"
    return [subject for (subject,) in held.execute(query, (ledger.spec, list(subjects)))]


def _keep_aside(held: psycopg.Connection, ledger: Ledger, scored: Scored) -> None:
    """Unusable rows into quarantine under the decision's number; those of before that are in use now, out of it."""
    if scored.unusable:
        query = "SELECT number, source, external_id FROM overnight.decisions WHERE number = ANY (%s)"
        numbers = [number for number, *_ in scored.unusable]
        names = {number: f"{source} {name}" for number, source, name in held.execute(query, (numbers,))}
        rows = [
            Unusable(ledger.source, str(number), reason, f"{names[number]}: {detail}", raw)
            for number, reason, detail, raw in scored.unusable
        ]
        quarantine(held, rows, ledger.run_id)
    query = "SELECT EXISTS (SELECT FROM overnight.quarantine WHERE source = %s AND released_at IS NULL)"
    (waiting,) = held.execute(query, (ledger.source,)).fetchone() or (False,)
    if waiting:
        release(held, ledger.source, [str(row[1]) for row in (*scored.first, *scored.again)])


LARGEST = 16 * 1024
"""Bytes that the text of one decision's components may have: numbers of some ten components take a few hundred."""
_WINDOW = sql.SQL("""
    AND d.created_at >= coalesce(%(since)s, '-infinity'::timestamptz) AND d.created_at < coalesce(%(until)s, 'infinity'::timestamptz)
    AND d.source = coalesce(%(rows_of)s, d.source)
""")
_DUE = """
    (SELECT {columns}, r.revision AS known, r.total
     FROM overnight.decisions d LEFT JOIN overnight.rewards r
         ON r.spec = %(spec)s AND r.subject = d.number AND r.subject > %(after)s
     WHERE d.number > %(after)s AND r.revision IS DISTINCT FROM d.revision {window}
     ORDER BY d.number LIMIT %(page)s)
    UNION ALL
    (SELECT {columns}, r.revision AS known, r.total
     FROM overnight.rewards r JOIN overnight.decisions d ON d.number = r.subject AND d.revision = r.revision
     WHERE r.spec = %(spec)s AND r.status = 'pending' AND r.due_at <= %(as_of)s AND r.subject > %(after)s {window}
     ORDER BY d.number LIMIT %(page)s)
    ORDER BY number LIMIT %(page)s
"""
_READ = sql.SQL("""
    d.number, d.revision, d.agent_type, d.feedback, d.components IS NOT NULL AS given,
    CASE WHEN pg_column_size(d.components) <= %(largest)s
        AND (pg_column_compression(d.components) IS NULL OR octet_length(d.components::text) <= %(largest)s)
    THEN d.components::text END AS components, d.created_at, d.outcome_at
""")
"""Only what is kept compressed, as long texts are, is unpacked to be measured."""
DUE = sql.SQL(_DUE).format(columns=_READ, window=sql.SQL(""))
DUE_IN_WINDOW = sql.SQL(_DUE).format(columns=_READ, window=_WINDOW)
_CONTENT = ("status", "components", "total", "normalized", "due_at")
_DIFFERENT = sql.SQL("({}) IS DISTINCT FROM ({})").format(
    *(sql.SQL(", ").join(sql.Identifier(table, name) for name in _CONTENT) for table in ("r", "excluded"))
)
UPSERT = sql.SQL("""
    INSERT INTO overnight.rewards AS r ({columns}) SELECT {columns} FROM pg_temp.staging
    ON CONFLICT (spec, subject) DO UPDATE SET {changes},
        computed_at = CASE WHEN {different} THEN now() ELSE r.computed_at END
    WHERE {different} OR r.revision <> excluded.revision
    RETURNING r.computed_at = now()
""").format(
    columns=sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
    changes=sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier("excluded", name))
        for name in COLUMNS[2:]
    ),
    different=_DIFFERENT,
)
"""Tells of each row that it wrote whether the reward is another one: its time is this transaction's then."""
