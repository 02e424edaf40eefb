"""Documents of decisions as their text, since they are read whole and never searched; decisions by session, and by agent."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


DOCUMENTS = (
    "state",
    "action",
    "next_state",
    "alternatives",
    "logprobs",
    "correction",
    "outcome",
    "components",
)


def kept_as(kind: str) -> None:
    changes = ", ".join(f"ALTER COLUMN {name} TYPE {kind}" for name in DOCUMENTS)
    op.execute(f"ALTER TABLE overnight.decisions {changes}")


def upgrade() -> None:
    kept_as("json")
    op.create_index(
        "ix_decisions_session",
        "decisions",
        ["source", "session_id"],
        schema="overnight",
        postgresql_include=["agent_type", "step", "created_at"],
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.create_index(
        "ix_decisions_source_agent_type", "decisions", ["source", "agent_type", "number"], schema="overnight"
    )
    op.drop_index("ix_decisions_agent_type_number", table_name="decisions", schema="overnight")


def downgrade() -> None:
    kept_as("jsonb")
    op.create_index(
        "ix_decisions_agent_type_number", "decisions", ["agent_type", "number"], schema="overnight"
    )
    op.drop_index("ix_decisions_source_agent_type", table_name="decisions", schema="overnight")
    op.drop_index("ix_decisions_session", table_name="decisions", schema="overnight")
