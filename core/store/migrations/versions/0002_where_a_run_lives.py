"""The machine and the process of a run, so that one that was killed is known to be over."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("host", sa.String(), nullable=True), schema="overnight")
    op.add_column("runs", sa.Column("process", sa.BigInteger(), nullable=True), schema="overnight")
    op.add_column("runs", sa.Column("process_started", sa.Float(), nullable=True), schema="overnight")


def downgrade() -> None:
    op.drop_column("runs", "process_started", schema="overnight")
    op.drop_column("runs", "process", schema="overnight")
    op.drop_column("runs", "host", schema="overnight")
