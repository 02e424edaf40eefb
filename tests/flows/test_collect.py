"""Rows of an app's own database come into the store, and the run tells what became of them."""

import sqlite3
from contextlib import closing

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from core.accounting import Accounting
from core.errors import ConfigError
from core.store.engine import connection
from flows.collect import collect, collect_trajectories

pytestmark = pytest.mark.slow
TABLE = """
    CREATE TABLE "Decision" ("id" TEXT PRIMARY KEY, "agentType" TEXT, "state" TEXT, "action" TEXT, "modelVersion" TEXT,
    "userFeedback" TEXT, "createdAt" DATETIME, "updatedAt" DATETIME)
"""
GAME = """
    CREATE TABLE "trajectories" ("id" TEXT PRIMARY KEY, "trajectoryId" TEXT, "agentId" TEXT, "startTime" DATETIME,
        "endTime" DATETIME, "stepsJson" TEXT, "finalStatus" TEXT, "aiJudgeReward" REAL, "updatedAt" DATETIME);
    INSERT INTO "trajectories" VALUES
        ('1', 'a', 'bot', 1760000000000, 1760000060000, '[]', 'done', 0.0, 1760000060000),
        ('2', 'b', 'bot', 1760000000000, 1760000060000, '[]', 'done', NULL, 1760000060000),
        ('3', 'c', 'bot', 1760000060000, 1760000000000, '[]', 'done', NULL, 1760000060000);
    CREATE TABLE "llm_call_logs" ("callId" TEXT PRIMARY KEY, "trajectoryId" TEXT, "timestamp" DATETIME, "model" TEXT,
        "purpose" TEXT, "userPrompt" TEXT, "response" TEXT, "createdAt" DATETIME);
    INSERT INTO "llm_call_logs" VALUES
        ('x', 'a', 1760000000000, 'm', 'action', 'Buy?', 'No.', 1760000000000),
        ('y', 'z', 1760000000000, 'm', 'action', 'Buy?', 'No.', 1760000000000);
    CREATE TABLE "market_outcomes" ("id" TEXT PRIMARY KEY, "windowId" TEXT, "stockTicker" TEXT,
        "predictionMarketId" TEXT, "endPrice" REAL, "createdAt" DATETIME);
    INSERT INTO "market_outcomes" VALUES ('m', '2025-10-09T08:00', 'T', NULL, 1.5, 1760000000000),
        ('n', '2025-10-09T08:00', 'T', NULL, 1.5, 1760000000000);
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Settings of a SQLite file with three decisions, one of them unusable."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as held, held:
        held.execute(TABLE)
        held.executemany(
            'INSERT INTO "Decision" VALUES (?, ?, ?, ?, ?, ?, 1760000000000, 1760000000000)',
            [
                ("a", "FILER", '{"text": "a bill"}', '{"folder": "bills"}', "m", "CONFIRMED"),
                ("b", "FILER", '{"text": "a letter"}', '{"folder": "mail"}', "m", None),
                ("c", "STORER", '{"text": NaN}', "{}", "m", None),
            ],
        )
    monkeypatch.setenv("OVERNIGHT_SOURCE_URL", f"sqlite:///{path}")
    return {"source.kind": "sqlite", "source.name": "office"}


def stored(query):
    with connection() as held:
        return held.execute(query).fetchall()


def test_decisions_of_an_app_are_collected_and_told(prefect_server, home, database, source):
    """What became of every row, how much there is to train on, a run that has ended; the same again changes nothing."""
    state = collect("decision_agents", "demo", source, return_state=True)
    assert state.result() == Accounting(read=3, written=2, quarantined={"non_finite": 1})
    report = (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()
    assert "2 of 3 rows from 'office' are new or changed" in report
    assert "| quarantined: non_finite | 1 |" in report
    assert "| FILER | 2 | 1 | 0 | 0 | – | – | no |" in report
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["overnight-training-data"]))
        shown = client.read_artifacts(artifact_filter=key)
    assert any(one.data == report for one in shown)
    assert stored("SELECT status FROM overnight.runs") == [("completed",)]
    assert stored("SELECT external_id, run_id IS NOT NULL FROM overnight.quarantine") == [("c", True)]
    again = collect("decision_agents", "demo", source)
    assert again == Accounting(read=3, unchanged=2, quarantined={"non_finite": 1})


def test_a_source_that_can_not_be_is_one_clear_line(prefect_server, home, database, source, monkeypatch):
    """Before anything is read, and not tried again."""
    with pytest.raises(ConfigError, match="the table Decision lacks 'changed'; it has id, agentType"):
        collect("decision_agents", "demo", source | {"source.watermark": "changed"})
    monkeypatch.delenv("OVERNIGHT_SOURCE_URL")
    with pytest.raises(ConfigError, match="OVERNIGHT_SOURCE_URL is not set"):
        collect("decision_agents", "demo", source)
    with pytest.raises(ConfigError, match="fantasy_draft has no rows in the store"):
        collect("fantasy_draft", "demo")


def shown_under(name):
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=[name]))
        return [one.data for one in client.read_artifacts(artifact_filter=key)]


def test_trajectories_of_an_app_are_collected_and_told(prefect_server, home, database, tmp_path, monkeypatch):
    """Table by table what became of every row, and how much there is now; the same again changes nothing."""
    with closing(sqlite3.connect(tmp_path / "game.db")) as held:
        held.executescript(GAME)
    monkeypatch.setenv("OVERNIGHT_SOURCE_URL", f"sqlite:///{tmp_path}/game.db")
    asked = {"source.kind": "sqlite", "source.name": "game"}
    state = collect_trajectories(overrides=asked, return_state=True)
    aside = {"end_before_start": 1}
    assert state.result() == {
        "trajectories": Accounting(read=3, written=2, quarantined=aside),
        "model calls": Accounting(read=2, written=2),
        "market outcomes": Accounting(read=2, written=1, skipped={"given twice": 1}),
    }
    report = (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()
    assert report.startswith("# Trajectories: 5 of 7 rows from 'game' are new or changed\n")
    for line in (
        "## What became of market outcomes",
        "| quarantined: end_before_start | 1 |",
        "| skipped: given twice | 1 |",
        "| unjudged | 1 |",
        "| calls without trajectory | 1 |",
    ):
        assert line in report
    assert report in shown_under("overnight-trajectories")
    assert stored("SELECT use_case, status FROM overnight.runs") == [("trajectories", "completed")]
    again = collect_trajectories(overrides=asked | {"calls": None})
    assert again["trajectories"] == Accounting(read=3, unchanged=2, quarantined=aside)
    assert list(again) == ["trajectories", "market outcomes"]


def test_a_table_that_is_not_there_is_one_clear_line(prefect_server, home, database, tmp_path, monkeypatch):
    """It names the setting to correct, and so does an app that there is not."""
    with closing(sqlite3.connect(tmp_path / "game.db")) as held:
        held.executescript(GAME)
    monkeypatch.setenv("OVERNIGHT_SOURCE_URL", f"sqlite:///{tmp_path}/game.db")
    asked = {"source.kind": "sqlite", "calls.table": "calls"}
    with pytest.raises(ConfigError, match=r"has no table calls: .* Correct calls\.table"):
        collect_trajectories(overrides=asked)
    assert stored("SELECT status FROM overnight.runs") == [("failed",)]
    with pytest.raises(ConfigError, match="'source': Input should be 'default'"):
        collect_trajectories(source="none")
