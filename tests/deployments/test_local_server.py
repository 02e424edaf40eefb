"""A real server, worker and database: started, found again, healed, followed and ended."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text

from core.store.engine import engine, transaction
from deployments import local

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
TINY = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
TINY += """
import json, os, pathlib, time
from prefect import flow, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.runtime import flow_run
from core.store.registry import record_run
from tasks.open import ENDINGS

class DraftError(ValueError): ...

@task(name="train-sft")
def train(seconds):
    bar = create_progress_artifact(0.0, key="train-sft", description="step 0")
    update_progress_artifact(bar, progress=50.0, description="step 1 of 2")
    time.sleep(seconds)

@flow(name="tiny", **ENDINGS)
def tiny(preset: str = "good"):
    asked = {"use_case": "tiny", "config_digest": "c", "code_revision": "k", "config": {}}
    record_run(run_id=str(flow_run.id), preset=preset, **asked)
    train({"long": 300, "cancelled": 300, "killed": 300}.get(preset, 2))
    if preset == "bad":
        raise DraftError("boards/2015.json: player 7 has no position")
    folder = pathlib.Path(os.environ["OVERNIGHT_HOME"], "runs", str(flow_run.id))
    folder.mkdir(parents=True)
    summary = {"verdict": "cannot tell", "reason": "the interval spans zero", "report": "report.md"}
    (folder / "summary.json").write_text(json.dumps(summary))
"""
DEPLOY = """
import sys
from prefect import flow
source = flow.from_source(source=sys.argv[1], entrypoint="tiny.py:tiny")
source.deploy(name="once", work_pool_name="local", build=False, push=False, print_next_steps=False)
"""


@pytest.fixture(scope="module")
def address():
    """Overnight, up in a folder and on a port of its own."""
    home = Path(tempfile.mkdtemp(prefix="overnight-"))
    home.chmod(0o755)  # as root, the database runs as another user
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERNIGHT_HOME", str(home))
        patch.setenv("OVERNIGHT_PORT", str(port))
        patch.delenv("OVERNIGHT_DATABASE_URL", raising=False)
        try:
            yield local.up()
        finally:
            local.down()
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def tiny(address, tmp_path_factory):
    """The name of a small deployment on that server."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.py").write_text(TINY)
    run(address, "-c", DEPLOY, str(folder)).check_returncode()
    return "tiny/once"


def run(address, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=address.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def ask(address, path, body):
    code, answer = address.get(path, json.dumps(body))
    assert code in (200, 201), answer
    return json.loads(answer)


def until(condition, seconds=90):
    limit = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < limit:
        time.sleep(0.5)
    return found


def recorded(preset):
    with transaction() as session:
        query = text("SELECT status FROM overnight.runs WHERE preset = :preset")
        return session.execute(query, {"preset": preset}).all()


def newest(address):
    body = {
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": 1,
        "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
    }
    return ask(address, "/flow_runs/filter", body)[0]["id"]


def pids():
    return [process and process.pid for process in (local.SERVER.process(), local.WORKER.process())]


def test_every_deployment_is_there(address):
    """What prefect.yaml holds can be triggered."""
    wanted = sorted(
        item["name"] for item in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    )
    assert sorted(item["name"] for item in ask(address, "/deployments/filter", {})) == wanted


def test_a_cron_deployment_really_gets_scheduled_runs(address):
    """With some versions below it the server runs, all looks well, and no schedule ever fires."""
    body = {
        "deployments": {"name": {"any_": ["weekly"]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    runs = until(lambda: ask(address, "/flow_runs/filter", body))
    assert runs
    assert all(run["auto_scheduled"] for run in runs)


def test_dead_runs_are_noticed(address):
    """The automation is there once, however often Overnight is started, and lets waiting runs live."""
    (automation,) = ask(address, "/automations/filter", {})
    assert automation["enabled"]
    assert "prefect.flow-run.Suspended" in automation["trigger"]["expect"]


def test_up_again_changes_nothing(address):
    """The same processes, the same address."""
    before = pids()
    assert local.up() == address
    assert pids() == before
    assert local.status()


def test_only_what_is_dead_is_started(address):
    """A worker killed with SIGKILL is replaced; the server stays."""
    server, worker = pids()
    os.kill(worker, 9)
    assert until(lambda: local.WORKER.process() is None, 5) is True
    assert not local.status()
    local.up()
    assert pids()[0] == server
    assert pids()[1] not in (None, worker)


def test_a_run_that_completes_is_followed_to_its_verdict(address, tiny):
    """Stages with their progress, then verdict, reason, report and address; exit status 0."""
    done = run(address, "-m", "deployments.follow", tiny, "--preset", "good")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^train-sft: completed after \d+:\d\d$", done.stdout, re.MULTILINE), done.stdout
    assert "verdict   cannot tell" in done.stdout
    assert "reason    the interval spans zero" in done.stdout
    assert f"run       {address.ui}/runs/flow-run/" in done.stdout


def test_a_run_that_fails_ends_with_its_own_line(address, tiny):
    """The error's line, without what Prefect says before it; exit status 1."""
    done = run(address, "-m", "deployments.follow", tiny, "--preset", "bad")
    assert done.returncode == 1
    assert "failed    boards/2015.json: player 7 has no position" in done.stdout


def test_an_unknown_deployment_is_one_clear_line(address):
    """It says what is missing and what to do."""
    done = run(address, "-m", "deployments.follow", "tiny/never")
    assert done.returncode == 1
    assert done.stderr.strip() == "error: the server has no deployment tiny/never: `make up` deploys it"


def test_a_run_that_is_cancelled_is_cancelled_in_the_store_too(address, tiny):
    """By the button of the UI, which asks the server for the same state."""
    run(address, "-m", "prefect", "deployment", "run", tiny, "--param", "preset=cancelled").check_returncode()
    assert until(lambda: recorded("cancelled") == [("running",)])
    flow_run = newest(address)
    ask(address, f"/flow_runs/{flow_run}/set_state", {"state": {"type": "CANCELLING"}})
    assert until(lambda: recorded("cancelled") != [("running",)])
    assert recorded("cancelled") == [("cancelled",)]


def test_a_run_that_is_killed_is_crashed_in_the_store_too(address, tiny):
    """Its process can't say so; the worker that watched it does."""
    run(address, "-m", "prefect", "deployment", "run", tiny, "--param", "preset=killed").check_returncode()
    assert until(lambda: recorded("killed") == [("running",)])
    with transaction() as session:
        query = text("SELECT process FROM overnight.runs WHERE preset = 'killed'")
        os.kill(session.execute(query).scalar_one(), signal.SIGKILL)
    assert until(lambda: recorded("killed") == [("crashed",)])


def test_stop_leaves_no_run_behind(address, tiny):
    """A run that was going is over: in the server's words, in the store's, and among the processes."""
    run(address, "-m", "prefect", "deployment", "run", tiny, "--param", "preset=long").check_returncode()
    assert until(lambda: recorded("long") == [("running",)])
    worker = local.WORKER.process()
    assert worker is not None
    children = worker.children(recursive=True)
    assert children
    assert local.down()[:2] == [local.WORKER.title, local.SERVER.title]
    assert not [child for child in children if child.is_running() and child.status() != "zombie"]
    assert pids() == [None, None]
    with closing(sqlite3.connect(Path(os.environ["OVERNIGHT_HOME"], "prefect", "prefect.db"))) as database:
        states = database.execute(
            "select state_type from flow_run where deployment_id is not null"
        ).fetchall()
    assert ("CRASHED",) in states
    assert ("RUNNING",) not in states
    assert recorded("long") == [("crashed",)]
    engine().dispose()
