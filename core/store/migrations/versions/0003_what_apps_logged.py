"""What apps logged: decisions, trajectories, model calls, market outcomes, ratings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("agent_type", sa.String(), nullable=False),
        sa.Column("state", postgresql.JSONB(), nullable=False),
        sa.Column("action", postgresql.JSONB(), nullable=False),
        sa.Column("next_state", postgresql.JSONB(), nullable=True),
        sa.Column("alternatives", postgresql.JSONB(), nullable=True),
        sa.Column("item_id", sa.String(), nullable=True),
        sa.Column("opus_id", sa.String(), nullable=True),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("reasoning", sa.String(), nullable=True),
        sa.Column("logprobs", postgresql.JSONB(), nullable=True),
        sa.Column("feedback", sa.String(), nullable=True),
        sa.Column("correction", postgresql.JSONB(), nullable=True),
        sa.Column("feedback_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", postgresql.JSONB(), nullable=True),
        sa.Column("outcome_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("components", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "feedback IN ('CONFIRMED', 'CORRECTED', 'IGNORED', 'OVERRIDDEN')",
            name=op.f("ck_decisions_feedback"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_decisions")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_decisions_source_external_id")),
        schema="overnight",
    )
    op.create_index(
        "ix_decisions_agent_type_number",
        "decisions",
        ["agent_type", "number"],
        unique=False,
        schema="overnight",
    )
    op.create_table(
        "market_outcomes",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ticker", sa.String(), nullable=True),
        sa.Column("start_price", sa.Float(), nullable=True),
        sa.Column("end_price", sa.Float(), nullable=True),
        sa.Column("question_id", sa.String(), nullable=True),
        sa.Column("question", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("final_probability", sa.Float(), nullable=True),
        sa.Column("volume", sa.Float(), nullable=True),
        sa.Column("news", postgresql.JSONB(), nullable=True),
        sa.Column("observed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(ticker IS NULL) <> (question_id IS NULL)", name=op.f("ck_market_outcomes_one_market")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_market_outcomes")),
        schema="overnight",
    )
    op.create_index(
        "uq_market_outcomes_market",
        "market_outcomes",
        ["source", "window_start", "ticker", "question_id"],
        unique=True,
        schema="overnight",
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "ratings",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("entry_id", sa.String(), nullable=False),
        sa.Column("rater_id", sa.String(), nullable=False),
        sa.Column("rating", sa.String(), nullable=False),
        sa.Column("tags", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("notes", sa.String(), nullable=True),
        sa.Column("model_version", sa.String(), nullable=True),
        sa.Column("rated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("rating IN ('up', 'down')", name=op.f("ck_ratings_rating")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ratings")),
        sa.UniqueConstraint(
            "source", "entry_id", "rater_id", name=op.f("uq_ratings_source_entry_id_rater_id")
        ),
        schema="overnight",
    )
    op.create_table(
        "trajectories",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_hours", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("scenario_id", sa.String(), nullable=True),
        sa.Column("episode_id", sa.String(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("steps", postgresql.JSONB(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(), nullable=True),
        sa.Column("components", postgresql.JSONB(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("balance", sa.Float(), nullable=True),
        sa.Column("profit", sa.Float(), nullable=True),
        sa.Column("model_version", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("ended_at >= started_at", name=op.f("ck_trajectories_time_order")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_trajectories")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_trajectories_source_external_id")),
        schema="overnight",
    )
    op.create_index(
        "ix_trajectories_window_start_agent_id",
        "trajectories",
        ["window_start", "agent_id"],
        unique=False,
        schema="overnight",
    )
    op.create_table(
        "llm_call_logs",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("trajectory", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("called_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("messages", postgresql.JSONB(), nullable=False),
        sa.Column("response", sa.String(), nullable=False),
        sa.Column("reasoning", sa.String(), nullable=True),
        sa.Column("temperature", sa.Float(), nullable=True),
        sa.Column("max_tokens", sa.Integer(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("logprobs", postgresql.JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["trajectory"],
            ["overnight.trajectories.number"],
            name=op.f("fk_llm_call_logs_trajectory"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_llm_call_logs")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_llm_call_logs_source_external_id")),
        schema="overnight",
    )
    op.create_index(
        "ix_llm_call_logs_trajectory", "llm_call_logs", ["trajectory"], unique=False, schema="overnight"
    )


def downgrade() -> None:
    op.drop_index("ix_llm_call_logs_trajectory", table_name="llm_call_logs", schema="overnight")
    op.drop_table("llm_call_logs", schema="overnight")
    op.drop_index("ix_trajectories_window_start_agent_id", table_name="trajectories", schema="overnight")
    op.drop_table("trajectories", schema="overnight")
    op.drop_table("ratings", schema="overnight")
    op.drop_index(
        "uq_market_outcomes_market",
        table_name="market_outcomes",
        schema="overnight",
        postgresql_nulls_not_distinct=True,
    )
    op.drop_table("market_outcomes", schema="overnight")
    op.drop_index("ix_decisions_agent_type_number", table_name="decisions", schema="overnight")
    op.drop_table("decisions", schema="overnight")
