"""The store's tables: narrow rows beside the files they speak of.

What has a content digest is known by it. Everything lies in a schema of its own, so that a database
that an app uses too keeps its tables to itself.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

SCHEMA = "overnight"
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
NOW: dict[str, Any] = {"server_default": text("now()")}


class StoredRow(SQLModel):
    """What all tables share."""

    metadata: ClassVar[MetaData] = MetaData(schema=SCHEMA, naming_convention=NAMES)


class RunRow(StoredRow, table=True):
    """One flow execution: what was asked for, by which code, and the process that does the work.

    `process_started` (seconds since 1970) tells it from a later process of the same number.
    """

    __tablename__ = "runs"
    id: str = Field(primary_key=True)
    use_case: str
    preset: str
    config_digest: str
    code_revision: str
    config: dict[str, Any] = Field(sa_type=JSONB)
    status: str
    started_at: datetime = Field(sa_column_kwargs=NOW)
    finished_at: datetime | None = None
    host: str | None = None
    process: int | None = Field(default=None, sa_type=BigInteger)
    process_started: float | None = None


class SnapshotRow(StoredRow, table=True):
    """An immutable set of rows; `path` is where it lay when it was last recorded."""

    __tablename__ = "snapshots"
    sha256: str = Field(primary_key=True)
    kind: str
    path: str
    counts: dict[str, int] = Field(sa_type=JSONB)
    skipped: dict[str, int] = Field(sa_type=JSONB)
    parents: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    notes: dict[str, Any] = Field(sa_type=JSONB)
    run_id: str | None = Field(default=None, foreign_key="runs.id")
    created_at: datetime = Field(sa_column_kwargs=NOW)
    stale_since: datetime | None = None
    """Since when a reward that it was made of is another."""


class CheckpointRow(StoredRow, table=True):
    """Trained weights; `path` is where they lay when they were last recorded.

    `parents` are digests of snapshots and checkpoints; one of them may lie outside the store (a folder
    that a person named), so they are no foreign keys.
    """

    __tablename__ = "checkpoints"
    sha256: str = Field(primary_key=True)
    kind: str
    path: str
    base_model: str
    method: str
    parents: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    metrics: dict[str, float] = Field(sa_type=JSONB)
    notes: dict[str, Any] = Field(sa_type=JSONB)
    run_id: str | None = Field(default=None, foreign_key="runs.id")
    created_at: datetime = Field(sa_column_kwargs=NOW)


class EvaluationRow(StoredRow, table=True):
    """One contest's numbers and verdict; `entrants` names the digest behind every trained policy."""

    __tablename__ = "evaluations"
    id: str = Field(primary_key=True)
    verdict: str
    reason: str
    candidate: str = Field(foreign_key="checkpoints.sha256", index=True)
    incumbent: str = Field(foreign_key="checkpoints.sha256")
    entrants: dict[str, str] = Field(sa_type=JSONB)
    details: dict[str, Any] = Field(sa_type=JSONB)
    run_id: str = Field(foreign_key="runs.id")
    created_at: datetime = Field(sa_column_kwargs=NOW)


class ReleaseRow(StoredRow, table=True):
    """A checkpoint as it would be served, and what the check of its files found."""

    __tablename__ = "releases"
    sha256: str = Field(primary_key=True)
    checkpoint: str = Field(foreign_key="checkpoints.sha256", index=True)
    release_check: str
    details: dict[str, Any] = Field(sa_type=JSONB)
    run_id: str = Field(foreign_key="runs.id")
    created_at: datetime = Field(sa_column_kwargs=NOW)


class PromotionRow(StoredRow, table=True):
    """One decision about a champion, with its evidence; rows are only added.

    A rollback's candidate is the checkpoint that came back, its evidence that of the promotion it undid.
    `previous_id` is the promotion that was in force before, None when the first incumbent was in use.
    """

    __tablename__ = "promotions"
    __table_args__ = (
        CheckConstraint("action IN ('promoted', 'kept', 'rolled back')", name="action"),
        Index("ix_promotions_use_case_slot_id", "use_case", "slot", "id"),
    )
    id: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    sha256: str = Field(unique=True)
    action: str
    use_case: str
    slot: str
    verdict: str
    reason: str
    candidate: str = Field(foreign_key="checkpoints.sha256")
    incumbent: str = Field(foreign_key="checkpoints.sha256")
    evaluation: str = Field(foreign_key="evaluations.id")
    snapshot: str | None = Field(default=None, foreign_key="snapshots.sha256")
    release: str | None = Field(default=None, foreign_key="releases.sha256")
    run_id: str | None = Field(default=None, foreign_key="runs.id")
    previous_id: int | None = Field(default=None, sa_type=BigInteger, foreign_key="promotions.id")
    created_at: datetime = Field(sa_column_kwargs=NOW)


class ChampionRow(StoredRow, table=True):
    """Which checkpoint a use case's slot uses now, and the promotion that says so."""

    __tablename__ = "champions"
    use_case: str = Field(primary_key=True)
    slot: str = Field(primary_key=True)
    checkpoint: str = Field(foreign_key="checkpoints.sha256")
    release: str | None = Field(default=None, foreign_key="releases.sha256")
    promotion_id: int | None = Field(default=None, sa_type=BigInteger, foreign_key="promotions.id")
    since: datetime = Field(sa_column_kwargs=NOW)
