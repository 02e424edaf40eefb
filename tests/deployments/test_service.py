"""Processes that outlive the command which started them."""

import json
import os
import signal
import sys
import time

import psutil
import pytest

from deployments.service import Service, settings

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def until(condition, seconds=10.0):
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.02)
    return condition()


def service(*command):
    return Service("sleeper", "the sleeper", command)


def test_found_again_and_ended(home):
    """Started once, it is found by a later command, and its file is gone when it has ended."""
    sleeper = service(*SLEEP)
    assert sleeper.process() is None
    sleeper.start(4200, os.environ)
    process = service(*SLEEP).process()
    assert process is not None
    assert sleeper.record()["port"] == 4200
    assert os.getsid(process.pid) == process.pid
    assert sleeper.stop()
    assert sleeper.process() is None
    assert not sleeper.file.exists()
    assert not sleeper.stop()


def test_a_number_given_to_another_program_is_not_ours(home):
    """The process id alone proves nothing: the start time must be the same."""
    sleeper = service(*SLEEP)
    sleeper.file.parent.mkdir(parents=True)
    other = psutil.Process()
    sleeper.file.write_text(json.dumps({"pid": other.pid, "started": other.create_time() - 60, "port": 1}))
    assert sleeper.process() is None
    assert not sleeper.stop()
    assert other.is_running()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"pid": "x", "started": 0}', '{"pid": -1, "started": 0}']
)
def test_a_damaged_file_means_not_running(home, content):
    """Half a file, or somebody else's, is no process."""
    sleeper = service(*SLEEP)
    sleeper.file.parent.mkdir(parents=True)
    sleeper.file.write_text(content)
    assert sleeper.process() is None


def test_interrupts_are_heard_again(home):
    """A script starts its jobs with SIGINT ignored; what we start hears it nevertheless."""
    code = "import signal; print(signal.getsignal(signal.SIGINT), flush=True)"
    sleeper = service(sys.executable, "-c", code)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sleeper.start(1, os.environ)
    finally:
        signal.signal(signal.SIGINT, before)
    assert until(lambda: "default_int_handler" in sleeper.log.read_text())


def test_one_that_ignores_the_request_is_ended_with_its_children(home):
    """SIGTERM first, then SIGKILL, for what it started too, in whatever session."""
    child = "import time; time.sleep(60)"
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"print(subprocess.Popen([sys.executable, '-c', '{child}'], start_new_session=True).pid, flush=True);"
        "time.sleep(60)"
    )
    stubborn = service(sys.executable, "-c", code)
    stubborn.start(1, os.environ)
    assert until(lambda: stubborn.log.read_text().strip())
    started = psutil.Process(int(stubborn.log.read_text()))
    assert stubborn.stop(grace=0.3)
    assert stubborn.process() is None
    assert until(lambda: not started.is_running() or started.status() == psutil.STATUS_ZOMBIE)


def test_last_words(home):
    """What a process said before it ended is what a person is told."""
    failing = service(sys.executable, "-c", "import sys; sys.exit('no such pool')")
    failing.start(1, os.environ)
    assert until(lambda: failing.process() is None)
    assert failing.last_words() == f"no such pool (more in {failing.log})"


def test_a_long_log_is_set_aside(home, monkeypatch):
    """A log doesn't grow for ever."""
    monkeypatch.setattr("deployments.service.LOG_LIMIT", 10)
    quiet = service(sys.executable, "-c", "")
    quiet.log.parent.mkdir(parents=True)
    quiet.log.write_text("x" * 11)
    quiet.start(1, os.environ)
    assert quiet.log.with_suffix(".1.log").read_text() == "x" * 11
    assert quiet.log.read_text() == ""


def test_settings_are_compared_without_being_kept():
    """A token changes the digest; a window's size doesn't."""
    assert settings({"HF_TOKEN": "a"}) != settings({"HF_TOKEN": "b"})
    assert settings({"COLUMNS": "80"}) == settings({"COLUMNS": "90"})
