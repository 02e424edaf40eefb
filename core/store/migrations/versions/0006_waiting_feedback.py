"""Feedback that came before its decision."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "waiting_feedback",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("news", postgresql.JSONB(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_waiting_feedback")),
        schema="overnight",
    )
    op.create_index(
        "ix_waiting_feedback_source_external_id",
        "waiting_feedback",
        ["source", "external_id"],
        unique=False,
        schema="overnight",
    )


def downgrade() -> None:
    op.drop_index("ix_waiting_feedback_source_external_id", table_name="waiting_feedback", schema="overnight")
    op.drop_table("waiting_feedback", schema="overnight")
