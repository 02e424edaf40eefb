"""An embedded PostgreSQL for one benchmark alone, with decisions in it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from benchmarks.logged_decisions import Logged, logged_decisions
from core.store import server
from core.store.bulk import copy_in
from core.store.engine import connection, engine
from core.store.migrate import migrate
from core.store.registry import record_run

SOURCE, RUN = "app", "benchmark"
KINDS = {"confidence": "float8", "created_at": "timestamptz", "updated_at": "timestamptz",
         **dict.fromkeys(("state", "action", "components"), "json")}  # fmt: skip


@contextmanager
def own_store(use_case: str) -> Iterator[Path]:
    """The folder it lies in. Autovacuum is off, so that it does not fall on one side alone; one run is recorded."""
    with tempfile.TemporaryDirectory(prefix="overnight-benchmark-") as folder:
        Path(folder).chmod(0o755)  # as root, the embedded PostgreSQL runs as another user
        os.environ["OVERNIGHT_HOME"] = folder
        os.environ.pop("OVERNIGHT_DATABASE_URL", None)
        migrate()
        _by_itself("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
        record_run(
            run_id=RUN, use_case=use_case, preset="default", config_digest="", code_revision="", config={}
        )
        try:
            yield Path(folder)
        finally:
            engine().dispose()
            server.stop()


def fill(count: int, after: int = 0) -> None:
    """The first decisions of the stream, or those after the first, in the store's own table."""
    columns = ("source", *Logged._fields, "updated_at")
    rows = ((SOURCE, *row, row.created_at) for row in islice(logged_decisions(count), after, None))
    with connection() as held:
        copy_in(held, "decisions", columns, [KINDS.get(column, "text") for column in columns], rows)
    tidy("overnight.decisions")


def tidy(table: str, how: str = "ANALYZE") -> None:
    """What autovacuum would have done by and by."""
    _by_itself(f"VACUUM ({how}) {table}", "CHECKPOINT")


def _by_itself(*statements: str) -> None:
    with connection() as held:
        held.commit()
        held.autocommit = True
        for statement in statements:
            held.execute(statement.encode())
        held.autocommit = False
