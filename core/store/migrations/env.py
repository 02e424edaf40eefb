"""What alembic runs: the migrations, over the connection that `core.store.migrate` holds."""

from alembic import context

from core.store import ledger_tables, logged_tables, waiting_tables  # noqa: F401  (their tables join the others)
from core.store.tables import SCHEMA, StoredRow


def _ours(name: str | None, type_: str, _parents: object) -> bool:
    return type_ != "schema" or name == SCHEMA


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=StoredRow.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=_ours,
)
with context.begin_transaction():
    context.run_migrations()
