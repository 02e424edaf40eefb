"""The reader knows no use case: a shape tells it which columns a kind of row has."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from core.errors import ConfigError
from core.store.foreign.opening import open_source
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape

NOBODY = 65534
TRAJECTORIES = Shape(
    needed=("trajectory_id", "agent_id", "started_at", "ended_at", "steps", "status"),
    optional=("window_hours", "metrics", "balance", "final_pnl", "used_in_training", "archetype"),
    also_called={
        "started_at": ("start_time",),
        "ended_at": ("end_time",),
        "steps": ("steps_json",),
        "metrics": ("metrics_json",),
        "status": ("final_status",),
        "balance": ("final_balance",),
    },
)
COLUMNS = """
    "id" TEXT PRIMARY KEY, "trajectoryId" TEXT NOT NULL UNIQUE, "agentId" TEXT NOT NULL, "startTime" {time} NOT NULL,
    "endTime" {time} NOT NULL, "windowHours" INTEGER NOT NULL DEFAULT 1, "stepsJson" TEXT NOT NULL, "metricsJson" TEXT,
    "finalStatus" TEXT NOT NULL, "finalBalance" {real}, "finalPnL" {real}, "usedInTraining" BOOLEAN NOT NULL,
    "updatedAt" {time} NOT NULL
"""
ROWS = """
    INSERT INTO trajectories VALUES
    ('a', 't1', 'agent', '2025-01-15 10:59:00.5', '2025-01-15 11:01:00', 1, '[{"reward": 0.0}]', NULL, 'done', 0, -12.5,
     false, '2025-01-15 12:00:00'),
    ('b', 't2', 'agent', '2025-01-15 10:00:00', '2025-01-15 11:00:00', 2, '[]', '{}', 'done', NULL, 1e3, true,
     '2025-01-15 11:00:00')
"""


def read(source):
    with open_source(source, TRAJECTORIES) as opened:
        return [row.content for row in opened.changed(None)]


def test_trajectories_are_read_by_another_shape(postgres_app, tmp_path, monkeypatch):
    """Babylon's table, in both databases: finalPnL is final_pnl, a column that isn't there is left out, zero is zero."""
    postgres_app.execute(f"CREATE TABLE trajectories ({COLUMNS.format(time='timestamp(3)', real='float8')})")
    postgres_app.execute(ROWS)
    with closing(sqlite3.connect(tmp_path / "app.db")) as held:
        held.execute(f"CREATE TABLE trajectories ({COLUMNS.format(time='DATETIME', real='REAL')})")
        held.execute(ROWS)
        held.commit()
    monkeypatch.setenv("SOURCE_SQLITE", str(tmp_path / "app.db"))
    source = postgres_app.source.model_copy(update={"table": "trajectories"})
    in_sqlite = SourceSettings(kind="sqlite", url_variable="SOURCE_SQLITE", table="trajectories")
    rows = read(source)
    assert [row["trajectory_id"] for row in rows] == ["t2", "t1"]  # as they were changed
    assert (rows[1]["final_pnl"], rows[1]["balance"], rows[0]["balance"]) == (-12.5, 0, None)
    assert rows[1]["started_at"] == "2025-01-15 10:59:00.5"
    assert "archetype" not in rows[0]
    same = [name for name in rows[0] if name != "used_in_training"]  # a boolean, and 0 or 1
    assert [[row[name] for name in same] for row in rows] == [
        [row[name] for name in same] for row in read(in_sqlite)
    ]


def test_a_file_in_wal_mode_in_a_folder_that_is_not_ours_is_told_as_that(monkeypatch):
    """Nothing that passes: SQLite has to write a file beside it even to read."""
    with TemporaryDirectory() as folder:
        file, own = Path(folder) / "app.db", os.geteuid()
        with closing(sqlite3.connect(file)) as held:
            held.execute("PRAGMA journal_mode = WAL")
            held.execute(f"CREATE TABLE trajectories ({COLUMNS.format(time='DATETIME', real='REAL')})")
        monkeypatch.setenv("SOURCE_SQLITE", str(file))
        Path(folder).chmod(0o555)
        if own == 0:
            os.seteuid(NOBODY)
        try:
            with pytest.raises(
                ConfigError, match=r"app.db is in WAL mode, .*: let the worker write its folder"
            ):
                read(SourceSettings(kind="sqlite", url_variable="SOURCE_SQLITE", table="trajectories"))
        finally:
            os.seteuid(own)
            Path(folder).chmod(0o755)
