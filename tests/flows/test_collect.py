"""Rows of an app's own database come into the store, and the run tells what became of them."""

import sqlite3
from contextlib import closing

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from core.accounting import Accounting
from core.errors import ConfigError
from core.store.engine import connection
from flows.collect import collect

pytestmark = pytest.mark.slow
TABLE = """
    CREATE TABLE "Decision" ("id" TEXT PRIMARY KEY, "agentType" TEXT, "state" TEXT, "action" TEXT, "modelVersion" TEXT,
    "userFeedback" TEXT, "createdAt" DATETIME, "updatedAt" DATETIME)
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
