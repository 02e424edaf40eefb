"""What is pending in the order in which it is read; no look-up of the spec for every reward."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    op.drop_index("ix_rewards_pending", table_name="rewards", schema="overnight")
    op.create_index(
        "ix_rewards_pending",
        "rewards",
        ["spec", "subject"],
        schema="overnight",
        postgresql_include=["due_at"],
        postgresql_where=PENDING,
    )
    op.drop_constraint("fk_rewards_spec", "rewards", schema="overnight", type_="foreignkey")


def downgrade() -> None:
    op.create_foreign_key(
        "fk_rewards_spec",
        *("rewards", "reward_specs"),
        *(["spec"], ["number"]),
        source_schema="overnight",
        referent_schema="overnight",
    )
    op.drop_index("ix_rewards_pending", table_name="rewards", schema="overnight")
    op.create_index(
        "ix_rewards_pending", "rewards", ["spec", "due_at"], schema="overnight", postgresql_where=PENDING
    )
