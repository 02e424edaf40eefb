"""What apps logged, under the names of their own tables: decisions, trajectories, model calls, outcomes, ratings.

A row of another database is known by its source and the id it has there. `revision` grows whenever a row's content
changes, so that who computed something from it knows to do it again.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from core.store.tables import NOW, StoredRow

FEEDBACK = ("CONFIRMED", "CORRECTED", "IGNORED", "OVERRIDDEN")
FIRST: dict[str, Any] = {"server_default": text("1")}


def numbered() -> Any:
    """A primary key that the database counts."""
    return Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))


def document(**rest: Any) -> Any:
    """A jsonb column, where Python's None is SQL's NULL."""
    return Field(sa_type=JSONB(none_as_null=True), **rest)


def spelt(**rest: Any) -> Any:
    """A json column, which keeps the text, in the one spelling that `core.document` gives it.

    For what is read whole and never searched: jsonb would be taken apart when it comes, and printed whenever it is read.
    """
    return Field(sa_type=JSON(none_as_null=True), **rest)


class DecisionRow(StoredRow, table=True):
    """One decision of an agent: what it saw, what it did, and whatever became known of it later."""

    __tablename__ = "decisions"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        CheckConstraint(f"feedback IN {FEEDBACK}", name="feedback"),
        Index("ix_decisions_source_agent_type", "source", "agent_type", "number"),
        Index(
            "ix_decisions_session",
            *("source", "session_id"),
            postgresql_include=["agent_type", "step", "user_id", "created_at"],
            postgresql_where=text("session_id IS NOT NULL"),
        ),
    )
    number: int = numbered()
    source: str
    external_id: str
    agent_type: str
    state: dict[str, Any] = spelt()
    action: Any = spelt()
    next_state: dict[str, Any] | None = spelt(default=None)
    alternatives: Any = spelt(default=None, nullable=True)
    item_id: str | None = None
    opus_id: str | None = None
    """What the item was filed under."""
    user_id: str | None = None
    session_id: str | None = None
    step: int | None = None
    """The place in its session, from 0."""
    model_version: str
    confidence: float | None = None
    reasoning: str | None = None
    logprobs: list[float] | None = spelt(default=None)
    """Of the answer's tokens, under the model that gave it; in nats."""
    feedback: str | None = None
    correction: Any = spelt(default=None, nullable=True)
    """What the user would have had instead."""
    feedback_at: datetime | None = None
    outcome: dict[str, Any] | None = spelt(default=None)
    outcome_at: datetime | None = None
    components: dict[str, Any] | None = spelt(default=None)
    """What the app observed of each part of the reward: {group: {component: number}}."""
    created_at: datetime
    updated_at: datetime
    """When its source last changed it."""
    revision: int = Field(default=1, sa_type=BigInteger, sa_column_kwargs=FIRST)


class TrajectoryRow(StoredRow, table=True):
    """One agent's steps through a window of time, and how it ended."""

    __tablename__ = "trajectories"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        CheckConstraint("ended_at >= started_at", name="time_order"),
        Index("ix_trajectories_window_start_agent_id", "window_start", "agent_id"),
    )
    number: int = numbered()
    source: str
    external_id: str
    agent_id: str
    window_start: datetime
    """From `started_at`, in UTC."""
    window_hours: int = Field(default=1, sa_column_kwargs=FIRST)
    scenario_id: str | None = None
    episode_id: str | None = None
    archetype: str | None = None
    """The character that the agent plays."""
    started_at: datetime
    ended_at: datetime
    steps: list[dict[str, Any]] = spelt()
    metrics: dict[str, Any] | None = spelt(default=None)
    components: dict[str, Any] | None = spelt(default=None)
    truth: dict[str, Any] | None = spelt(default=None)
    """What was true and what came of it, as the app knew it: for a judge, and never for a prompt."""
    status: str
    balance: float | None = None
    profit: float | None = None
    total_reward: float | None = None
    """What the app's own environment gave."""
    judge_reward: float | None = None
    """What the app's own judge gave; NULL until it has."""
    judge_reasoning: str | None = None
    judged_at: datetime | None = None
    model_version: str | None = None
    created_at: datetime
    updated_at: datetime
    revision: int = Field(default=1, sa_type=BigInteger, sa_column_kwargs=FIRST)


class ModelCallRow(StoredRow, table=True):
    """One call of a language model during a trajectory's step. It may be here before its trajectory is, or without it."""

    __tablename__ = "llm_call_logs"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        Index("ix_llm_call_logs_trajectory_id", "source", "trajectory_id"),
    )
    number: int = numbered()
    source: str
    external_id: str
    trajectory_id: str
    """Its trajectory's `external_id` in the same source."""
    step: int | None = None
    called_at: datetime
    latency_ms: int | None = None
    model: str
    purpose: str
    action_type: str | None = None
    messages: list[dict[str, Any]] = spelt()
    response: str
    reasoning: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: list[float] | None = spelt(default=None)
    revision: int = Field(default=1, sa_type=BigInteger, sa_column_kwargs=FIRST)


class MarketOutcomeRow(StoredRow, table=True):
    """What a market did in a window: a stock's prices, or a prediction market's answer."""

    __tablename__ = "market_outcomes"
    __table_args__ = (
        CheckConstraint("(ticker IS NULL) <> (question_id IS NULL)", name="one_market"),
        Index(
            "uq_market_outcomes_market",
            *("source", "window_start", "ticker", "question_id"),
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )
    number: int = numbered()
    source: str
    external_id: str
    """Of the app's row that says so: it may have several of one market, of which the last stands."""
    window_start: datetime
    ticker: str | None = None
    start_price: float | None = None
    end_price: float | None = None
    sentiment: str | None = None
    question_id: str | None = None
    question: str | None = None
    answer: str | None = None
    final_probability: float | None = None
    volume: float | None = None
    news: Any = spelt(default=None, nullable=True)
    observed_at: datetime = Field(sa_column_kwargs=NOW)
    revision: int = Field(default=1, sa_type=BigInteger, sa_column_kwargs=FIRST)


class RatedEntryRow(StoredRow, table=True):
    """Something that was shown to be rated: a widget that answers a question, or any response to any prompt."""

    __tablename__ = "rated_entries"
    __table_args__ = (
        UniqueConstraint("source", "entry_id"),
        Index("ix_rated_entries_question", "source", "question_id"),
    )
    number: int = numbered()
    source: str
    entry_id: str
    question_id: str
    question: str
    scenario: str | None = None
    widget: str | None = None
    fixture: str | None = None
    size: str | None = None
    context: dict[str, Any] | None = spelt(default=None)
    prompt: str | None = None
    response: str | None = None
    created_at: datetime = Field(sa_column_kwargs=NOW)


class RatingRow(StoredRow, table=True):
    """A person's thumb on an answer; a rater's latest vote on an entry stands."""

    __tablename__ = "ratings"
    __table_args__ = (
        UniqueConstraint("source", "entry_id", "rater_id"),
        CheckConstraint("rating IN ('up', 'down')", name="rating"),
        Index("ix_ratings_new", "source", postgresql_where=text("used_at IS NULL")),
    )
    number: int = numbered()
    source: str
    entry_id: str
    rater_id: str
    rating: str
    tags: list[str] = document(sa_column_kwargs={"server_default": text("'[]'")})
    notes: str | None = None
    model_version: str | None = None
    rated_at: datetime
    revision: int = Field(default=1, sa_type=BigInteger, sa_column_kwargs=FIRST)
    claimed_by: str | None = None
    """The run that is learning from it."""
    used_at: datetime | None = None
    """When a run had learnt from it; no longer, once the rater has changed his mind."""
