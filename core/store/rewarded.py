"""Decisions with what they were worth, out of the store: chosen, counted and streamed in one order that never changes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from core.store.bulk import stream


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions are asked for."""

    source: str
    agent_type: str
    spec: int | None
    """Number of the reward version in the ledger; None where there is none."""
    limit: int | None = None
    min_reward: float | None = None
    """Of the raw total; None takes decisions without a reward too."""
    require_feedback: bool = False
    pending: bool = False
    """Whether rewards that wait for a component count."""
    before: datetime | None = None
    """Only decisions that were made before this moment."""


class Rewarded(NamedTuple):
    """A stored decision and its reward, None where it has none."""

    number: int
    external_id: str
    state: dict[str, Any]
    action: Any
    created_at: datetime
    model_version: str
    item_id: str | None
    opus_id: str | None
    user_id: str | None
    session_id: str | None
    step: int | None
    confidence: float | None
    logprobs: list[float] | None
    feedback: str | None
    correction: Any
    components: str | None
    """As JSON text: who passes them on needs no more."""
    total: float | None
    normalized: float | None
    session_length: int | None
    """Decisions of this agent type in its session, asked for or not; 0 where the session lacks a step, whosever it was,
    None without a session."""
    person: str | None
    """Whose session it is: the first of its users' names, on whichever of its decisions it stands; else the user."""


COLUMNS: dict[str, str] = {
    "d.number": "int8",
    "d.external_id": "text",
    "d.state": "json",
    "d.action": "json",
    "d.created_at": "timestamptz",
    "d.model_version": "text",
    "d.item_id": "text",
    "d.opus_id": "text",
    "d.user_id": "text",
    "d.session_id": "text",
    "d.step": "int4",
    "d.confidence": "float8",
    "d.logprobs": "json",
    "d.feedback": "text",
    "d.correction": "json",
    "d.components::text": "text",
    "r.total": "float8",
    "r.normalized": "float8",
    "s.length": "int8",
    "coalesce(s.owner, d.user_id)": "text",
}
"""Where the values of a `Rewarded` come from, in their order, with their types."""
FIRST = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
ALONE = "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '16MB'"
"""Rows as wide as decisions cost more to pass between processes than to sort in one."""
SCORED = (
    "FROM overnight.decisions d LEFT JOIN overnight.rewards r ON r.subject = d.number AND r.spec = %(spec)s"
)
ASKED = """
    WHERE d.source = %(source)s AND d.agent_type = %(agent_type)s
        AND (%(before)s::timestamptz IS NULL OR d.created_at < %(before)s)
"""
REASON = """
    CASE WHEN r.status = 'pending' AND NOT %(pending)s THEN 'reward pending'
        WHEN r.total IS NULL AND %(min_reward)s::float8 IS NOT NULL THEN 'no reward'
        WHEN r.total < %(min_reward)s::float8 THEN 'below min_reward'
        WHEN d.feedback IS NULL AND %(require_feedback)s THEN 'no feedback' END
"""
COUNT = f"SELECT {REASON} AS reason, count(*) {SCORED} {ASKED} GROUP BY 1"
SESSIONS = """
    SELECT session_id, CASE WHEN count(step) = 0 OR (count(*) = count(DISTINCT step) AND count(*) = max(step) - min(step) + 1)
        THEN count(*) FILTER (WHERE agent_type = %(agent_type)s) ELSE 0 END AS length, min(user_id) AS owner
    FROM overnight.decisions
    WHERE source = %(source)s AND session_id IS NOT NULL AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s)
    GROUP BY 1
"""
NEWEST = f"SELECT max(d.created_at) {SCORED} {ASKED} AND {REASON} IS NULL"
USERS = f"SELECT count(DISTINCT coalesce(d.user_id, d.session_id, d.external_id)) {SCORED} {ASKED}"
SHARED = """
    SELECT array_agg(DISTINCT user_id) FROM overnight.decisions
    WHERE source = %(source)s AND session_id IS NOT NULL GROUP BY session_id HAVING count(DISTINCT user_id) > 1
"""
ROWS = f"""
    WITH s AS ({SESSIONS})
    SELECT {", ".join(COLUMNS)} {SCORED} LEFT JOIN s ON s.session_id = d.session_id {ASKED} AND {REASON} IS NULL
    ORDER BY d.created_at DESC, d.external_id COLLATE "C" LIMIT %(limit)s
"""


def one_moment(held: psycopg.Connection) -> None:
    """Let all that this transaction reads be as it is now; its first statement."""
    held.execute(FIRST)
    held.execute(ALONE)


def left_out(held: psycopg.Connection, wanted: Wanted) -> dict[str, int]:
    """How many of the source's decisions of that agent are not asked for, by reason. Raises: psycopg.Error."""
    found: dict[str | None, int] = dict(held.execute(COUNT, asdict(wanted)).fetchall())
    fit = found.pop(None, 0)
    beyond = max(0, fit - wanted.limit) if wanted.limit is not None else 0
    counts = {str(reason): count for reason, count in sorted(found.items(), key=str)}
    return counts | ({"beyond the limit": beyond} if beyond else {})


def rewarded(held: psycopg.Connection, wanted: Wanted) -> Iterator[Rewarded]:
    """The decisions asked for, the newest first, ids in the order of their bytes. Raises: psycopg.Error."""
    return map(Rewarded._make, stream(held, ROWS, tuple(COLUMNS.values()), asdict(wanted)))


def newest(held: psycopg.Connection, wanted: Wanted) -> datetime | None:
    """When the last of the decisions asked for was made; None where there is none. Raises: psycopg.Error."""
    row = held.execute(NEWEST, asdict(wanted)).fetchone()
    return None if row is None else row[0]


def users(held: psycopg.Connection, wanted: Wanted) -> int:
    """How many users' decisions there are; where none is noted, a session is a user. Raises: psycopg.Error."""
    row = held.execute(USERS, asdict(wanted)).fetchone()
    return 0 if row is None else int(row[0])


def together(held: psycopg.Connection, wanted: Wanted) -> dict[str, str]:
    """Users who share a session, or are joined by others who do, each with one name for all of them. Raises: psycopg.Error."""
    name_of: dict[str, str] = {}

    def first(user: str) -> str:
        while (other := name_of.get(user, user)) != user:
            user = other
        return user

    for (users,) in held.execute(SHARED, asdict(wanted)):
        found = sorted(first(user) for user in users if user is not None)
        name_of |= dict.fromkeys(found, found[0])
    return {user: first(user) for user in name_of}


def known_spec(held: psycopg.Connection, use_case: str, sha256: str) -> int | None:
    """The ledger's number of a reward version, None where nothing was computed by it. Raises: psycopg.Error."""
    query = "SELECT number FROM overnight.reward_specs WHERE use_case = %s AND sha256 = %s"
    row = held.execute(query, (use_case, sha256)).fetchone()
    return None if row is None else row[0]
