"""What was rated, and which ratings a run has learnt from."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    texts = ("scenario", "widget", "fixture", "size", "prompt", "response")
    op.create_table(
        "rated_entries",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("source", "entry_id", "question_id", "question")
        ),
        *(sa.Column(name, sa.String(), nullable=True) for name in texts),
        sa.Column("context", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_rated_entries"),
        sa.UniqueConstraint("source", "entry_id", name="uq_rated_entries_source_entry_id"),
        schema="overnight",
    )
    op.create_index(
        "ix_rated_entries_question", "rated_entries", ["source", "question_id"], schema="overnight"
    )
    op.add_column("ratings", sa.Column("claimed_by", sa.String(), nullable=True), schema="overnight")
    op.add_column(
        "ratings", sa.Column("used_at", sa.DateTime(timezone=True), nullable=True), schema="overnight"
    )
    op.create_index(
        "ix_ratings_new",
        "ratings",
        ["source"],
        schema="overnight",
        postgresql_where=sa.text("used_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_ratings_new", table_name="ratings", schema="overnight")
    op.drop_column("ratings", "used_at", schema="overnight")
    op.drop_column("ratings", "claimed_by", schema="overnight")
    op.drop_table("rated_entries", schema="overnight")
