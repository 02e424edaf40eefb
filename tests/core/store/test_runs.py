"""A run's status is right even when the run could not say how it ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import RecordError
from core.store.engine import engine, transaction
from core.store.registry import close_lost_runs, finish_run, record_run

REPOSITORY = Path(__file__).parents[3]
ASKED = {
    "use_case": "chess",
    "preset": "demo",
    "config_digest": "c",
    "code_revision": "k",
    "config": {"a": 1},
}
CHILD = f"""
import sys, time
from core.store.registry import record_run
record_run(run_id=sys.argv[1], **{ASKED})
print("recorded", flush=True)
time.sleep(600)
"""


@pytest.fixture
def killed(database):
    """The id of a run whose process got SIGKILL."""
    leave("killed")
    return "killed"


def leave(run_id):
    """Begin a run in a process of its own, and kill that."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, run_id], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "recorded\n"
        assert statuses()[run_id] == "running"
        child.kill()


def statuses():
    with transaction() as session:
        return dict(session.execute(text("SELECT id, status FROM overnight.runs")).all())


def change(assignment):
    with transaction() as session:
        session.execute(text(f"UPDATE overnight.runs SET {assignment}"))


def test_a_run_ends_once(database):
    """The first end counts: a retried report doesn't move it."""
    record_run(run_id="r1", **ASKED)
    finish_run("r1", "completed")
    finish_run("r1", "failed")

    assert statuses() == {"r1": "completed"}
    with transaction() as session:
        times = session.execute(text("SELECT started_at, finished_at FROM overnight.runs")).one()
    assert times.finished_at >= times.started_at


def test_a_run_that_nobody_began_has_no_end(database):
    """A mistake, and none that passes."""
    with pytest.raises(RecordError, match="run r9 was never recorded: record_run comes first"):
        finish_run("r9", "completed")


def test_a_killed_run_is_closed_by_the_next_one(killed):
    """SIGKILL leaves no time for a last word; the run that begins after it says so, and goes on itself."""
    record_run(run_id="next", **ASKED)

    assert statuses() == {killed: "crashed", "next": "running"}
    assert close_lost_runs() == 0


def test_a_run_of_the_embedded_database_is_closed_whatever_the_machine_is_called(embedded):
    """A laptop's or a container's name changes; no other machine can use that database."""
    with subprocess.Popen([sys.executable, "-m", "core.store.migrate"], cwd=REPOSITORY) as migration:
        assert migration.wait(timeout=120) == 0
    leave("killed")
    change("host = 'another-name'")

    assert close_lost_runs() == 1
    assert statuses() == {"killed": "crashed"}
    engine().dispose()


def test_runs_of_other_machines_are_left_alone(killed):
    """Their processes can't be seen from here."""
    change("host = 'another-machine'")

    assert close_lost_runs() == 0
    assert statuses() == {killed: "running"}


def test_a_process_number_that_was_given_away_is_another_process(database):
    """The number is that of a living process, which started at another time."""
    record_run(run_id="r1", **ASKED)
    assert close_lost_runs() == 0
    change(f"process = {os.getpid()}, process_started = process_started - 60")

    assert close_lost_runs() == 1
    assert statuses() == {"r1": "crashed"}


def test_a_crashed_run_that_is_taken_up_again_has_a_new_end(killed):
    """What was asked for stays as it was written first."""
    assert close_lost_runs() == 1
    record_run(run_id=killed, **ASKED | {"preset": "other"})
    assert statuses() == {killed: "running"}
    finish_run(killed, "completed")

    with transaction() as session:
        rows = session.execute(text("SELECT status, preset, process FROM overnight.runs")).all()
    assert rows == [("completed", "demo", os.getpid())]


def test_a_run_taken_for_lost_by_mistake_has_the_last_word(database):
    """A clock that was set far can make it so; the run that lives says how it really ended."""
    record_run(run_id="r1", **ASKED)
    change("process_started = process_started - 60")
    close_lost_runs()
    finish_run("r1", "completed")

    assert statuses() == {"r1": "completed"}
