"""A reward of which nothing is known has a row too: awaited until its deadline, and never 0."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("total", "normalized"):
        op.alter_column("rewards", column, nullable=True, schema="overnight")


def downgrade() -> None:
    op.execute("DELETE FROM overnight.rewards WHERE total IS NULL OR normalized IS NULL")
    for column in ("total", "normalized"):
        op.alter_column("rewards", column, nullable=False, schema="overnight")
