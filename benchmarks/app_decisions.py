"""The filing desk's own table, in the shape that its app gives it: one wide row a decision, the reward in it, eight indexes.

And the usual ways to fill it and to write rewards into it: an ORM's objects, and a commit a row.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
from psycopg import sql
from sqlalchemy import Column, Index, MetaData, create_engine, text
from sqlalchemy.dialects.postgresql import ENUM, JSONB, TIMESTAMP
from sqlmodel import Field, Session, SQLModel, select

from benchmarks.logged_decisions import Logged
from benchmarks.own_store import tidy
from core.decision import AgentType, Feedback
from core.reward import RewardSpec, Scorer
from core.store import server
from core.store.bulk import copy_in
from core.store.engine import connection

OBJECTS = 5_000
"""Objects a commit."""
INDEXES = ("agentType,createdAt", "itemId", "opusId", "userId", "reward", "isTrainingData", "agentType,reward",
           "modelVersion,createdAt")  # fmt: skip
TYPES = {"confidence": "float8", "createdAt": "timestamp", "updatedAt": "timestamp", "isTrainingData": "bool",
         "isValidationData": "bool", "state": "jsonb", "action": "jsonb", "rewardComponents": "jsonb"}  # fmt: skip


def _document(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=nullable))


def _time(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(TIMESTAMP(precision=3), nullable=nullable))


class AppDecision(SQLModel, table=True):
    """One row of "Decision"; times are UTC without saying so."""

    metadata: ClassVar[MetaData] = MetaData()
    __tablename__ = "Decision"
    __table_args__ = tuple(Index(f"Decision_{names}_idx", *names.split(",")) for names in INDEXES)
    id: str = Field(primary_key=True)
    agentType: str = Field(
        sa_column=Column(ENUM(*map(str, AgentType), "GUARDRAIL", name="AgentType"), nullable=False)
    )
    state: Any = _document(nullable=False)
    action: Any = _document(nullable=False)
    reward: float | None = None
    nextState: Any = _document()
    itemId: str | None = None
    opusId: str | None = None
    userId: str
    modelVersion: str
    confidence: float | None = None
    reasoning: str | None = None
    alternativeActions: Any = _document()
    userFeedback: str | None = Field(
        default=None, sa_column=Column(ENUM(*map(str, Feedback), name="Feedback"))
    )
    userCorrection: Any = _document()
    feedbackAt: datetime | None = _time()
    outcomeMetrics: Any = _document()
    outcomeObservedAt: datetime | None = _time()
    rewardComponents: Any = _document()
    rewardComputedAt: datetime | None = _time()
    isTrainingData: bool = True
    isValidationData: bool = False
    trainingEpoch: int | None = None
    createdAt: datetime = _time(nullable=False)
    updatedAt: datetime = _time(nullable=False)


def engine() -> Any:
    """As the seed makes its own: connections are tried before they are used."""
    return create_engine(server.database_url(), pool_pre_ping=True)


def make_table() -> None:
    """The table, empty, with its indexes."""
    made = engine()
    AppDecision.metadata.drop_all(made)
    AppDecision.metadata.create_all(made)
    made.dispose()


def load_by_copy(rows: Iterable[Logged]) -> None:
    """As Overnight loads tables."""
    columns = list(_values(Logged("", "", "", "", "", "", "", "", 0.0, "", None, "", datetime.now(UTC))))
    types = [TYPES.get(column, "text") for column in columns]
    with connection() as held:
        copy_in(
            held, sql.Identifier("Decision"), columns, types, (tuple(_values(row).values()) for row in rows)
        )


def take_rewards() -> None:
    """What the ledger says that its decisions are worth, as if the app had written it, and the table as it was before."""
    with connection() as held:
        held.execute("""
            UPDATE "Decision" a SET reward = r.total FROM overnight.decisions d
            JOIN overnight.rewards r ON r.subject = d.number WHERE d.external_id = a.id
        """)
    tidy('"Decision"', "FULL, ANALYZE")


def load_objects(rows: Sequence[Logged]) -> None:
    """As an ORM does: an object a row, `add_all`, a commit every 10,000; documents come parsed."""
    made = engine()
    for page in _pages(rows, 10_000):
        with Session(made) as session:
            session.add_all(AppDecision(**_parsed(row)) for row in page)
            session.commit()
    made.dispose()


def reward_row_by_row(count: int, spec: RewardSpec) -> None:
    """As the seed does: a connection from the pool, an UPDATE and a commit for every row."""
    made, scorer = engine(), Scorer(spec)
    query = 'SELECT id, "agentType", "rewardComponents", "userFeedback" FROM "Decision" WHERE reward IS NULL LIMIT :n'
    with made.connect() as held:
        rows = held.execute(text(query), {"n": count}).fetchall()
    update = text('UPDATE "Decision" SET reward = :reward, "rewardComputedAt" = NOW() WHERE id = :id')
    for name, *parts in rows:
        with made.connect() as held:
            held.execute(update, {"id": name, "reward": _worth(scorer, *parts)})
            held.commit()
    made.dispose()


def reward_objects(count: int, spec: RewardSpec) -> None:
    """As an ORM does: objects loaded, changed and committed, 5,000 at a time."""
    made, scorer = engine(), Scorer(spec)
    for _ in range(0, count, OBJECTS):
        with Session(made) as session:
            waiting = select(AppDecision).where(AppDecision.reward.is_(None))  # type: ignore[union-attr]
            for row in session.exec(waiting.order_by(AppDecision.id).limit(OBJECTS)):
                row.reward = _worth(scorer, row.agentType, row.rewardComponents, row.userFeedback)
                row.rewardComputedAt = datetime.now(UTC).replace(tzinfo=None)
            session.commit()
    made.dispose()


def _worth(scorer: Scorer, agent_type: str, components: dict[str, Any], feedback: str | None) -> float:
    now = datetime.now(UTC)
    reward = scorer.score(agent_type, components, feedback, created_at=now, outcome_at=None, as_of=now)
    return reward.total or 0.0


def _values(row: Logged) -> dict[str, Any]:
    created = row.created_at.replace(tzinfo=None)
    return {
        "id": row.external_id,
        "agentType": row.agent_type,
        "state": row.state,
        "action": row.action,
        "userId": row.user_id,
        "itemId": row.item_id,
        "opusId": row.opus_id,
        "modelVersion": row.model_version,
        "confidence": row.confidence,
        "reasoning": row.reasoning,
        "userFeedback": row.feedback,
        "rewardComponents": row.components,
        "isTrainingData": True,
        "isValidationData": False,
        "createdAt": created,
        "updatedAt": created,
    }


def _parsed(row: Logged) -> dict[str, Any]:
    documents = ("state", "action", "rewardComponents")
    values = _values(row)
    return values | {name: orjson.loads(values[name]) for name in documents}


def _pages(rows: Sequence[Logged], size: int) -> Iterator[Sequence[Logged]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
