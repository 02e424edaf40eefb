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


def test_model_calls_keep_their_trajectory(database):
    """Down to where they held its number, up to where they hold its id; a call without one can't go down."""
    keep = """
        INSERT INTO overnight.trajectories (source, external_id, agent_id, window_start, started_at, ended_at, steps,
            status, created_at, updated_at) VALUES ('app', 't', 'a', now(), now(), now(), '[{"reward":0.5}]', 'done', now(), now());
        INSERT INTO overnight.llm_call_logs (source, external_id, trajectory_id, step, called_at, model, purpose, messages,
            response) VALUES ('app', 'c', 't', 0, now(), 'm', 'action', '[]', ''), ('app', 'd', 'none', 0, now(), 'm', 'action', '[]', '');
        INSERT INTO overnight.market_outcomes (source, external_id, window_start, ticker) VALUES ('app', 'o', now(), 'T')
    """
    with transaction() as session:
        session.execute(text(keep.replace(":", r"\:")))

    downgrade("0010")
    migrate()
    check()

    with transaction() as session:
        calls = session.execute(
            text("SELECT external_id, trajectory_id, revision FROM overnight.llm_call_logs")
        )
        assert calls.all() == [("c", "t", 1)]
        steps = session.execute(text("SELECT steps->0->>'reward' FROM overnight.trajectories"))
        assert steps.all() == [("0.5",)]
        assert session.execute(text("SELECT external_id FROM overnight.market_outcomes")).scalar() == "1"


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
