"""Trajectories with what judged them, model calls that know their trajectory by its id, outcomes that know their row.

No Overnight wrote into these tables before, so that no document has to be spelt again.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NEW: dict[str, dict[str, Callable[[], Any]]] = {
    "trajectories": {
        "archetype": sa.String,
        "truth": sa.JSON,
        "total_reward": sa.Float,
        "judge_reward": sa.Float,
        "judge_reasoning": sa.String,
        "judged_at": lambda: sa.DateTime(timezone=True),
    },
    "llm_call_logs": {"trajectory_id": sa.String, "action_type": sa.String, "top_p": sa.Float},
    "market_outcomes": {"external_id": sa.String, "sentiment": sa.String},
}
REVISED = ("llm_call_logs", "market_outcomes")
DOCUMENTS = {
    "trajectories": ("steps", "metrics", "components"),
    "llm_call_logs": ("messages", "logprobs"),
    "market_outcomes": ("news",),
}


def kept_as(kind: str) -> None:
    for table, names in DOCUMENTS.items():
        changes = ", ".join(f"ALTER COLUMN {name} TYPE {kind}" for name in names)
        op.execute(f"ALTER TABLE overnight.{table} {changes}")


def upgrade() -> None:
    kept_as("json")
    for table, columns in NEW.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind(), nullable=True), schema="overnight")
    for table in REVISED:
        first = sa.Column("revision", sa.BigInteger(), server_default=sa.text("1"), nullable=False)
        op.add_column(table, first, schema="overnight")
    op.execute("""
        UPDATE overnight.llm_call_logs c SET trajectory_id = t.external_id FROM overnight.trajectories t
        WHERE t.number = c.trajectory
    """)
    op.execute("UPDATE overnight.market_outcomes SET external_id = number::text")
    op.alter_column("llm_call_logs", "trajectory_id", nullable=False, schema="overnight")
    op.alter_column("llm_call_logs", "step", nullable=True, schema="overnight")
    op.alter_column("market_outcomes", "external_id", nullable=False, schema="overnight")
    op.drop_column("llm_call_logs", "trajectory", schema="overnight")
    op.create_index(
        "ix_llm_call_logs_trajectory_id", "llm_call_logs", ["source", "trajectory_id"], schema="overnight"
    )


def downgrade() -> None:
    op.add_column(
        "llm_call_logs", sa.Column("trajectory", sa.BigInteger(), nullable=True), schema="overnight"
    )
    op.execute("""
        UPDATE overnight.llm_call_logs c SET trajectory = t.number FROM overnight.trajectories t
        WHERE t.source = c.source AND t.external_id = c.trajectory_id
    """)
    op.execute("DELETE FROM overnight.llm_call_logs WHERE trajectory IS NULL OR step IS NULL")
    op.alter_column("llm_call_logs", "trajectory", nullable=False, schema="overnight")
    op.alter_column("llm_call_logs", "step", nullable=False, schema="overnight")
    op.create_foreign_key(
        "fk_llm_call_logs_trajectory",
        *("llm_call_logs", "trajectories", ["trajectory"], ["number"]),
        source_schema="overnight",
        referent_schema="overnight",
        ondelete="CASCADE",
    )
    op.create_index("ix_llm_call_logs_trajectory", "llm_call_logs", ["trajectory"], schema="overnight")
    op.drop_index("ix_llm_call_logs_trajectory_id", table_name="llm_call_logs", schema="overnight")
    for table in REVISED:
        op.drop_column(table, "revision", schema="overnight")
    for table, columns in NEW.items():
        for name in columns:
            op.drop_column(table, name, schema="overnight")
    kept_as("jsonb")
