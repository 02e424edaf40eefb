"""The nightly rewards as Prefect runs them: pending decisions get theirs, faults pass, and nobody works twice."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.schedules import CronSchedule
from prefect.flow_engine import run_flow

from core import config
from core.config import ROOT
from core.rewarding import Moment, moment_of
from core.store import reward_page, server
from core.store.decisions import ingest
from core.store.engine import connection
from core.store.foreign import sqlite
from core.store.lease import lease
from core.store.migrate import migrate
from core.use_cases import USE_CASES
from flows.rewards import backfill, nightly

pytestmark = pytest.mark.slow
KILLED = """
import os, signal
from core.store import reward_page
from flows.rewards import nightly

reward_page.PAGE = 10
copy_in = reward_page.copy_in

def die_at_the_third(held, *given):
    found = copy_in(held, *given)
    if held.execute("SELECT count(*) FROM overnight.rewards").fetchone()[0] > 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return found

reward_page.copy_in = die_at_the_third
nightly("default")
"""
AT = datetime(2025, 1, 1, 12, tzinfo=UTC)
STORED = [use_case.name for use_case in USE_CASES if use_case.rewards is not None]


def decisions(count, first=0):
    rows = (
        {
            "external_id": f"d{number}",
            "agent_type": ("FILER", "STORER")[number % 2],
            "state": {"text": str(number)},
            "action": 1,
            "model_version": "base",
            "created_at": AT + timedelta(hours=number),
            "feedback": "CONFIRMED" if number else None,
            "components": {
                "delayed": {"completionSuccess": number / 50, "findability": "high" if number == 3 else 1}
            }
            if number
            else None,
        }
        for number in range(first, first + count)
    )
    return sum(page.written for page in ingest("app", rows, now=AT + timedelta(days=900)))


def asked(query):
    with connection() as held:
        return held.execute(query).fetchall()


def test_a_night_is_computed_and_told(prefect_server, home, database):
    """Rewards, a report as a file and as an artifact, a run that has ended; the same night again writes nothing."""
    assert "decision_agents" in STORED
    decisions(40)
    state = nightly("default", return_state=True)
    assert state.is_completed(), state.message
    report = (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()
    assert "| read | 40 |" in report
    assert "| written | 39 |" in report
    assert "| quarantined: bad_component | 1 |" in report
    assert "| FILER | final, nothing known | 1 | 1 | – |" in report
    assert "app d3: component findability is 'high', not a number" in report
    assert "data:image/png;base64," in report
    assert asked("SELECT status, use_case FROM overnight.runs") == [("completed", "decision_agents")]
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["overnight-rewards"]))
        shown = client.read_artifacts(artifact_filter=key)
    assert any(one.data == report for one in shown)

    again = nightly("default", return_state=True)
    report = (home / "runs" / str(again.state_details.flow_run_id) / "report.md").read_text()
    assert "| read | 1 |" in report
    assert "| written | 0 |" in report


TABLE = """
    CREATE TABLE "Decision" ("id" TEXT, "agentType" TEXT, "state" TEXT, "action" TEXT, "modelVersion" TEXT,
    "rewardComponents" TEXT, "createdAt" DATETIME, "updatedAt" DATETIME)
"""


@pytest.fixture
def app(tmp_path, monkeypatch):
    """A SQLite app that the default settings name; puts decisions with a value each into its table."""
    folder, path = tmp_path / "configs", tmp_path / "app.db"
    shutil.copytree(config.CONFIGS, folder)
    settings = folder / "decision_agents" / "default.yaml"
    source = {"source": {"name": "office", "kind": "sqlite"}}
    settings.write_text(yaml.safe_dump(yaml.safe_load(settings.read_text()) | source))
    monkeypatch.setattr(config, "CONFIGS", folder)
    monkeypatch.setenv("OVERNIGHT_SOURCE_URL", f"sqlite:///{path}")

    def decide(*values):
        with closing(sqlite3.connect(path)) as held, held:
            held.execute(TABLE.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
            (before,) = held.execute('SELECT count(*) FROM "Decision"').fetchone()
            for number, value in enumerate(values, before):
                components = f'{{"delayed": {{"completionSuccess": {value}}}}}'
                at = 1760000000000 + number
                row = (f"a{number}", "FILER", "{}", "{}", "m", components, at, at)
                held.execute('INSERT INTO "Decision" VALUES (?, ?, ?, ?, ?, ?, ?, ?)', row)
        return path

    return decide


def told(home, state):
    assert state.is_completed(), state.message
    return (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()


def test_a_night_brings_in_what_is_new_at_an_app(prefect_server, home, database, app, monkeypatch):
    """The second night's rows are its own, and drift against the first; an app that is locked is told in one line."""
    app(*[0.5, 0.25] * 10, "NaN")
    first = told(home, nightly("default", return_state=True))
    assert "decision_agents: new at the source" in first
    assert "| read | 21 |" in first
    assert "| quarantined: non_finite | 1 |" in first
    assert "| FILER | final | 20 | 20 |" in first
    assert "nothing to hold it against" in first

    asked("UPDATE overnight.reward_nights SET night = night - 1 RETURNING 1")
    path = app(*[-0.5] * 10)
    second = told(home, nightly("default", return_state=True))
    assert "| FILER | final | 30 | 10 |" in second
    assert "**look at FILER (total), FILER completionSuccess**" in second

    asked("DELETE FROM overnight.rewards WHERE subject <= 5 RETURNING 1")
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(path)) as held:
        held.execute("BEGIN EXCLUSIVE")
        alone = told(home, nightly("default", return_state=True))
    assert "- decision_agents: what is new at the source was not read to its end: " in alone
    assert "| written | 5 |" in alone
    assert "new at the source\n" not in alone


def test_a_second_run_at_once_leaves_it_to_the_first(prefect_server, home, database):
    """It ends as completed, and says who is at it; so does a backfill, which does the days it is given."""
    decisions(20)
    with lease("rewards decision_agents", "the first"):
        for state in (
            nightly("default", return_state=True),
            backfill(date(2025, 1, 1), date(2025, 1, 2), "default", return_state=True),
        ):
            assert state.is_completed()
            assert "already running: 'rewards decision_agents' is held by the first" in state.message
    assert asked("SELECT count(*) FROM overnight.rewards") == [(0,)]
    backfill(date(2025, 1, 1), date(2025, 1, 1), "default")
    assert asked("SELECT count(*) FROM overnight.rewards") == [(11,)]
    backfill()
    assert asked("SELECT count(*) FROM overnight.rewards") == [(19,)]
    refused = backfill(date(2025, 1, 2), date(2025, 1, 1), "default", return_state=True)
    assert "to_day 2025-01-01 is before from_day 2025-01-02" in refused.message


def test_nights_that_were_missed_are_one(prefect_server, home, database):
    """The scheduler's runs of the last three days: the first stands for the newest night, the others find it done."""
    decisions(5)
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(nightly), "missed", schedules=[], parameters={"preset": "default"}, enforce_parameter_schema=False)  # fmt: skip
        client.create_deployment_schedules(
            deployment, [(CronSchedule(cron="0 2 * * *", timezone="UTC"), True)]
        )
        window = {"start_time": str(now - timedelta(days=3)), "end_time": str(now), "min_runs": 3}
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json=window)
        missed = [
            run
            for run in client.read_flow_runs()
            if run.deployment_id == deployment and run.expected_start_time <= now
        ]
    assert len(missed) == 3
    states = [
        run_flow(nightly, flow_run=run, parameters=run.parameters, return_type="state") for run in missed
    ]
    newest = max(run.expected_start_time for run in missed).date()
    assert asked("SELECT DISTINCT night FROM overnight.reward_nights") == [(newest,)]
    late = [
        state for run, state in zip(missed, states, strict=True) if run.expected_start_time.date() < newest
    ]
    done = f"the night of {newest} is done already"
    assert sum(done in (state.message or "") for state in late) >= 1
    assert asked("SELECT count(*) FROM overnight.rewards") == [(4,)]


def test_a_late_run_stands_for_the_last_night_due():
    """Due at 2:00 on the first, started on the third at noon: the night of the third; by 1:59, that of the second."""
    due = datetime(2026, 11, 1, 2, tzinfo=UTC)
    for now, day, late in (
        (datetime(2026, 11, 1, 2, 0, 5, tzinfo=UTC), 1, False),
        (datetime(2026, 11, 2, 1, 59, tzinfo=UTC), 1, False),
        (datetime(2026, 11, 3, 1, 59, tzinfo=UTC), 2, True),
        (datetime(2026, 11, 3, 12, tzinfo=UTC), 3, True),
    ):
        as_of = due.replace(day=day)
        assert moment_of(due, now) == Moment(night=as_of.date(), as_of=as_of, late=late)
    by_hand = datetime(2026, 11, 3, 12, tzinfo=UTC)
    assert moment_of(None, by_hand) == Moment(night=by_hand.date(), as_of=by_hand)


def test_a_night_whose_process_is_killed_is_finished_by_the_next(prefect_server, home, database):
    """As a worker starts it, and SIGKILL between two pages: what was committed stays, and no row is lost or there twice."""
    decisions(40)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": prefect_server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    counted = "SELECT count(*), count(DISTINCT subject) FROM overnight.rewards"
    (kept,) = asked(counted)
    assert 0 < kept[0] < 39
    state = nightly("default", return_state=True)
    assert state.is_completed(), state.message
    assert asked(counted) == [(39, 39)]
    report = (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()
    assert f"| written | {39 - kept[0]} |" in report
    assert asked("SELECT status FROM overnight.runs ORDER BY started_at") == [("crashed",), ("completed",)]


def test_a_database_that_stops_is_tried_again(prefect_server, embedded, states, monkeypatch):
    """PostgreSQL stops in the middle of a night and is started again: the task is tried again, and the night is done."""
    migrate()
    decisions(40)
    monkeypatch.setattr(reward_page, "PAGE", 10)
    stopping = threading.Event()
    copy_in = reward_page.copy_in

    def stop_once(held, *given):
        if (
            held.execute("SELECT count(*) FROM overnight.rewards").fetchone() != (0,)
            and not stopping.is_set()
        ):
            stopping.set()
            server.stop()
        return copy_in(held, *given)

    monkeypatch.setattr(reward_page, "copy_in", stop_once)
    state = nightly("default", return_state=True)
    assert stopping.is_set()
    assert state.is_completed(), state.message
    assert asked("SELECT count(*), count(DISTINCT subject) FROM overnight.rewards") == [(39, 39)]
    assert states(state.state_details.flow_run_id, "rewards")["rewards"] == "Completed"
