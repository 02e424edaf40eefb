"""What came before the decision that it is about."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from core.store.logged_tables import numbered
from core.store.tables import StoredRow


class WaitingFeedbackRow(StoredRow, table=True):
    """Feedback on a decision that is not there yet: kept until it comes."""

    __tablename__ = "waiting_feedback"
    __table_args__ = (Index("ix_waiting_feedback_source_external_id", "source", "external_id"),)
    number: int = numbered()
    source: str
    external_id: str
    news: dict[str, Any] = Field(sa_type=JSONB)
    recorded_at: datetime
