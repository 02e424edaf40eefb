"""The tables in the database are those of the code, whichever way they came to be."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from core.errors import RecordError
from core.store import ledger_tables, logged_tables, waiting_tables  # noqa: F401  (their tables join the others)
from core.store.engine import engine, transaction
from core.store.migrate import check, downgrade, migrate
from core.store.registry import champion
from core.store.tables import SCHEMA, StoredRow

TABLES = {table.name for table in StoredRow.metadata.sorted_tables}


def tables(schema=SCHEMA):
    return set(inspect(engine()).get_table_names(schema=schema))


def test_up_down_and_up_again(empty_database):
    """Upgrade, no drift, downgrade, upgrade, no drift; the public schema is left to others."""
    migrate()
    check()
    assert tables() == TABLES | {"alembic_version"}
    downgrade()
    assert tables() == {"alembic_version"}
    migrate()
    check()

    assert tables() == TABLES | {"alembic_version"}
    assert tables("public") == set()


def test_migrating_again_changes_nothing(database):
    """Rows stay."""
    with transaction() as session:
        session.execute(
            text("INSERT INTO overnight.runs VALUES ('r', 'chess', 'demo', 'c', 'k', '{}', 'running', now())")
        )

    migrate()

    with transaction() as session:
        assert session.execute(text("SELECT count(*) FROM overnight.runs")).scalar() == 1


def test_processes_that_migrate_at_once_wait_for_each_other(empty_database):
    """Three at once on an empty database: all succeed."""
    command = [sys.executable, "-m", "core.store.migrate"]
    started = [subprocess.Popen(command, cwd=Path(__file__).parents[3]) for _ in range(3)]

    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    check()


def test_tables_that_differ_from_the_code_are_named(database):
    """A column that nobody wrote a migration for."""
    with transaction() as session:
        session.execute(text("ALTER TABLE overnight.runs ADD COLUMN mood text"))

    with pytest.raises(RecordError, match=r"not what the code says.*mood"):
        check()


def test_a_database_of_a_newer_overnight_is_refused(database):
    """An unknown revision is never guessed at."""
    with transaction() as session:
        session.execute(text("UPDATE overnight.alembic_version SET version_num = '9999'"))

    with pytest.raises(RecordError, match=r"not those of this Overnight .*9999.*: install a newer one"):
        migrate()


def test_a_database_without_tables_says_so(empty_database):
    """One line, not a traceback of SQL."""
    with pytest.raises(
        RecordError, match=r'refused: relation "overnight.champions" does not exist'
    ) as raised:
        champion("chess", "default")

    assert "\n" not in str(raised.value)
