"""The reward ledger, and what keeps it honest: who works on it, what could not be used, how far a source was read."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field

from core.store.tables import NOW, StoredRow


class RewardSpecRow(StoredRow, table=True):
    """A version of what rewards are made of; never changed, since rows were computed by it."""

    __tablename__ = "reward_specs"
    __table_args__ = (UniqueConstraint("use_case", "version"),)
    number: int = Field(default=None, sa_column=Column(Integer, Identity(always=True), primary_key=True))
    use_case: str
    version: str
    spec: dict[str, Any] = Field(sa_type=JSONB)
    sha256: str
    created_at: datetime = Field(sa_column_kwargs=NOW)


class RewardRow(StoredRow, table=True):
    """What one subject was worth by one version: the ledger, one narrow row each.

    `components` are those of the spec in its order: the value where it was observed, else 'pending' or 'missed'; the view
    `reward_components` names them. `revision` is the subject's, when this was computed; `due_at` the next deadline of a
    component that is still awaited.
    """

    __tablename__ = "rewards"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'final')", name="status"),
        CheckConstraint("total BETWEEN -5 AND 5", name="total"),
        CheckConstraint("normalized BETWEEN 0 AND 1", name="normalized"),
        Index(
            "ix_rewards_pending",
            *("spec", "subject"),
            postgresql_include=["due_at"],
            postgresql_where=text("status = 'pending'"),
        ),
    )
    spec: int = Field(primary_key=True)
    """Of `reward_specs`, whose rows nobody deletes; a foreign key would be a look-up for every row of a COPY."""
    subject: int = Field(sa_type=BigInteger, primary_key=True)
    """Number of a decision, a trajectory or a rating, as the spec's use case has them."""
    status: str
    components: list[Any] = Field(sa_type=JSONB)
    total: float | None = Field(default=None, sa_type=Double)
    """NULL while nothing of it is known: no reward of 0."""
    normalized: float | None = Field(default=None, sa_type=Double)
    revision: int = Field(sa_type=BigInteger)
    due_at: datetime | None = None
    code: str
    """The first letters of the digest of the code that computed it."""
    computed_at: datetime = Field(sa_column_kwargs=NOW)


class RewardNightRow(StoredRow, table=True):
    """What a night found in one stratum (an agent type): counts and the moments of every component.

    The stratum '*' is written at the end of a night, with what became of all its rows.
    """

    __tablename__ = "reward_nights"
    spec: int = Field(primary_key=True, foreign_key="reward_specs.number")
    night: date = Field(primary_key=True)
    stratum: str = Field(primary_key=True)
    figures: dict[str, Any] = Field(sa_type=JSONB)
    run_id: str | None = Field(default=None, foreign_key="runs.id")


class QuarantineRow(StoredRow, table=True):
    """A row that could not be used, as it came, and why. Released when the same row came again and could."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("source", "external_id", "reason", "sha256"),)
    number: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    source: str
    external_id: str
    reason: str
    detail: str
    raw: bytes | None = Field(default=None, sa_type=LargeBinary)
    sha256: str
    run_id: str | None = Field(default=None, foreign_key="runs.id")
    created_at: datetime = Field(sa_column_kwargs=NOW)
    released_at: datetime | None = None


class LeaseRow(StoredRow, table=True):
    """Who alone may do something now. A holder that doesn't renew it, or whose process is gone, has lost it."""

    __tablename__ = "leases"
    name: str = Field(primary_key=True)
    holder: str
    host: str
    process: int = Field(sa_type=BigInteger)
    process_started: float
    acquired_at: datetime = Field(sa_column_kwargs=NOW)
    expires_at: datetime


class WatermarkRow(StoredRow, table=True):
    """How far something that is read again and again was read."""

    __tablename__ = "watermarks"
    name: str = Field(primary_key=True)
    position: dict[str, Any] = Field(sa_type=JSONB)
    moved_at: datetime = Field(sa_column_kwargs=NOW)


class SnapshotSubjectsRow(StoredRow, table=True):
    """Which subjects' rewards a snapshot was made of, some thousand a row."""

    __tablename__ = "snapshot_subjects"
    snapshot: str = Field(primary_key=True, foreign_key="snapshots.sha256")
    part: int = Field(primary_key=True)
    spec: int = Field(foreign_key="reward_specs.number", index=True)
    subjects: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
