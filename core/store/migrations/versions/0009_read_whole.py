"""Documents of decisions as their text, since they are read whole and never searched; decisions by session, and by agent."""

import sqlalchemy as sa
from alembic import op

from core.document import Unreadable, document

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

TABLE = sa.table("decisions", sa.column("number"), *map(sa.column, DOCUMENTS), schema="overnight")


def kept_as(kind: str) -> None:
    changes = ", ".join(f"ALTER COLUMN {name} TYPE {kind}" for name in DOCUMENTS)
    op.execute(f"ALTER TABLE overnight.decisions {changes}")


def spell_again() -> None:
    """What jsonb printed, as it is spelt when it comes: else every old row would be another one when it comes again."""
    held, after = op.get_bind(), 0
    rows = (
        sa.select(TABLE.c.number, *(sa.cast(TABLE.c[name], sa.Text) for name in DOCUMENTS))
        .where(TABLE.c.number > sa.bindparam("after"))
        .order_by(TABLE.c.number)
        .limit(1_000)
    )
    spellings = {name: sa.cast(sa.bindparam(f"spelt_{name}", type_=sa.Text), sa.JSON) for name in DOCUMENTS}
    change = sa.update(TABLE).where(TABLE.c.number == sa.bindparam("of")).values(spellings)
    while page := held.execute(rows, {"after": after}).all():
        after = page[-1][0]
        names = ("of", *(f"spelt_{name}" for name in DOCUMENTS))
        held.execute(change, [dict(zip(names, (row[0], *map(spelt, row[1:])), strict=True)) for row in page])


def spelt(words: str | None) -> str | None:
    """A document in the spelling of what comes; one that nothing would be read of any more stays as it is."""
    try:
        return None if words is None else document("action", words)
    except Unreadable:
        return words


def upgrade() -> None:
    kept_as("json")
    spell_again()
    op.create_index(
        "ix_decisions_session",
        "decisions",
        ["source", "session_id"],
        schema="overnight",
        postgresql_include=["agent_type", "step", "user_id", "created_at"],
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
