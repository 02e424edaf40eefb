"""What an app records is on the disk when the call returns, and in the store once, whatever happens in between."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg.rows import dict_row

from core.accounting import Accounting
from core.document import Unreadable
from core.errors import StorageError, StoreError
from core.recording.recorder import Recorder
from core.recording.spool import spool_folder
from core.store import decisions
from core.store.engine import connection

ROOT = Path(__file__).parents[3]
GOOD = {
    "id": "one",
    "agentType": "FILER",
    "state": {"text": "an invoice"},
    "action": {"folder": "bills"},
    "modelVersion": "base",
}
AWAY = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def recorder(home, database):
    with Recorder("app", seconds=None) as made:
        yield made


def stored(query="SELECT * FROM overnight.decisions ORDER BY number"):
    with connection() as held, held.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


def test_a_decision_and_what_came_of_it(recorder):
    """In the app's own spelling; feedback raises the revision, so that the reward is computed again."""
    assert recorder.record_decision(GOOD) == "one"
    assert recorder.flush() == Accounting(read=1, written=1)
    recorder.record_feedback("one", {"userFeedback": "CORRECTED", "userCorrection": "taxes"})
    recorder.record_feedback(
        "one", {"outcome": {"days": 2}, "components": {"delayed": {"completionSuccess": 1}}}
    )
    assert recorder.flush() == Accounting(read=2, written=2)
    (row,) = stored()
    assert (row["source"], row["agent_type"], row["state"]) == ("app", "FILER", {"text": "an invoice"})
    assert (row["feedback"], row["correction"], row["outcome"]) == ("CORRECTED", "taxes", {"days": 2})
    assert row["updated_at"] >= row["outcome_at"] >= row["feedback_at"] >= row["created_at"]
    assert row["revision"] == 2


def test_an_id_is_made_where_none_is_given(recorder):
    """Another one each time."""
    nameless = {key: value for key, value in GOOD.items() if key != "id"}
    names = {recorder.record_decision(nameless) for _ in range(3)}
    assert recorder.flush().written == 3
    assert {row["external_id"] for row in stored()} == names


def test_the_same_again_changes_nothing(recorder):
    """Two calls in one batch, a later one, one after feedback came, and the same feedback twice."""
    at = {"createdAt": "2026-11-01T12:00:00Z"}
    recorder.record_decision(GOOD | at)
    recorder.record_decision(GOOD | at)
    assert recorder.flush() == Accounting(read=2, written=1, skipped={"given twice": 1})
    news = {"feedback": "CONFIRMED", "feedbackAt": "2026-11-01T13:00:00Z", "correction": {"b": 1.0, "a": "ü"}}
    recorder.record_feedback("one", news)
    recorder.record_decision(GOOD | at)
    assert recorder.flush() == Accounting(read=2, written=1, unchanged=1)
    recorder.record_feedback("one", news)
    recorder.record_decision(GOOD | at)
    assert recorder.flush() == Accounting(read=2, unchanged=2)
    assert [(row["feedback"], row["revision"]) for row in stored()] == [("CONFIRMED", 2)]


def test_a_retry_without_a_time_changes_nothing(recorder):
    """A decision was made when it came the first time; a retry in the same batch or later takes back nothing."""
    given = GOOD | {"components": {"immediate": {"a": 1}}}
    recorder.record_decision(given)
    recorder.record_decision(given)
    assert recorder.flush() == Accounting(read=2, written=1, skipped={"given twice": 1})
    recorder.record_feedback("one", {"components": {"immediate": {"a": 2, "b": 3}}, "feedback": "CONFIRMED"})
    recorder.flush()
    before = stored()
    recorder.record_decision(given)
    assert recorder.flush() == Accounting(read=1, unchanged=1)
    assert stored() == before
    assert before[0]["components"] == {"immediate": {"a": 2, "b": 3}}


def test_feedback_waits_for_its_decision(recorder):
    """In whichever batch it comes; in the same one it is there already."""
    recorder.record_feedback("one", {"feedback": "IGNORED"})
    assert recorder.flush() == Accounting(read=1, skipped={"decision not there yet": 1})
    assert recorder.flush() == Accounting()
    recorder.record_feedback("two", {"feedback": "CONFIRMED"})
    recorder.record_decision(GOOD | {"id": "two"})
    assert recorder.flush() == Accounting(read=2, written=2)
    recorder.record_decision(GOOD)
    assert recorder.flush() == Accounting(read=2, written=2)
    assert {row["external_id"]: row["feedback"] for row in stored()} == {"two": "CONFIRMED", "one": "IGNORED"}
    assert stored("SELECT * FROM overnight.waiting_feedback") == []


def test_the_latest_feedback_stands_and_components_come_one_by_one(recorder):
    """Whatever the order in which they arrive."""
    recorder.record_decision(
        GOOD | {"createdAt": "2026-11-01T12:00:00Z", "components": {"immediate": {"a": 1}}}
    )
    recorder.flush()
    recorder.record_feedback("one", {"feedback": "CORRECTED", "feedbackAt": "2026-11-03T12:00:00+01:00"})
    recorder.record_feedback("one", {"feedback": "IGNORED", "feedbackAt": "2026-11-02T12:00:00"})
    recorder.record_feedback("one", {"components": {"immediate": {"b": 2}, "delayed": {"c": 3}}})
    assert recorder.flush() == Accounting(read=3, written=2, unchanged=1)
    (row,) = stored()
    assert row["feedback"] == "CORRECTED"
    assert row["components"] == {"immediate": {"a": 1, "b": 2}, "delayed": {"c": 3}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": {"x": float("nan")}}, "non_finite"),
        ({"state": {"x": "a\0b"}}, "nul_char"),
        ({"reasoning": "\ud800"}, "bad_unicode"),
        ({"modelVersion": {"a": 1}}, "bad_text"),
        ({"id": True}, "bad_text"),
        ({"createdAt": True}, "bad_time"),
        ({"createdAt": 1_793_000_000}, "bad_time"),
        ({"action": '{"opus": '}, "bad_json"),
        ({"id": "\ud800"}, "bad_unicode"),
        ({"id": ""}, "bad_id"),
        ({"id": "é" * 501}, "bad_id"),
        ({"reasoning": "y" * (9 * 2**20)}, "oversize"),
        ({"state": {"x": "y" * (50 * 2**20)}}, "oversize"),
        ({"agentType": "CLERK"}, "unknown_agent_type"),
        ({"action": None}, "missing_value"),
        ({"agent": "FILER"}, "unknown_field"),
        ({"agent_type": "FILER"}, "unknown_field"),
    ],
)
def test_what_can_not_be_used_is_told_to_the_app_and_counted(recorder, change, reason):
    """The call fails with the reason, and the row is among those set aside."""
    with pytest.raises(Unreadable) as caught:
        recorder.record_decision(GOOD | change)
    assert caught.value.reason == reason
    recorder.record_decision(GOOD | {"id": "two"})
    assert recorder.flush() == Accounting(read=2, written=1, quarantined={reason: 1})


def test_feedback_about_nothing_is_told(recorder):
    """It would wait for ever for a decision without an id."""
    with pytest.raises(Unreadable, match="external_id missing"):
        recorder.record_feedback(None, {"feedback": "CONFIRMED"})
    assert recorder.flush().quarantined == {"missing_value": 1}


def test_wrong_feedback_is_told_and_counted(recorder):
    """With what is wrong and what there is."""
    for values, words in (
        ({"feedback": "LIKED"}, "none of CONFIRMED"),
        ({}, "no feedback given"),
        ({"feedbak": "CONFIRMED"}, "did you mean feedback"),
        ({"state": {}}, "is no field here"),
        ({"feedback": "IGNORED", "feedback_at": "2999-01-01"}, "in the future"),
        ({"components": {"immediate": 5}}, "not an object of numbers"),
        ({"components": {"immediate": {"userFeedback": "1"}}}, "is no number"),
        ({"components": {"immediate": None}}, "no feedback given"),
    ):
        with pytest.raises(Unreadable, match=words):
            recorder.record_feedback("one", values)
    with pytest.raises(Unreadable, match="is no number"):
        recorder.record_decision(GOOD | {"components": {"immediate": {"userFeedback": True}}})
    assert recorder.flush().accounted == 9


def test_what_is_null_takes_nothing_back(recorder):
    """A component without a number is one that nothing is known of."""
    recorder.record_decision(GOOD | {"components": {"immediate": {"userFeedback": 1}, "delayed": None}})
    recorder.record_feedback("one", {"components": {"immediate": None, "delayed": {"reworkPenalty": -1}}})
    recorder.flush()
    (row,) = stored()
    assert row["components"] == {"immediate": {"userFeedback": 1}, "delayed": {"reworkPenalty": -1}}


def test_refused_feedback_stays_set_aside(recorder):
    """The decision that it is about does not repair it."""
    with pytest.raises(Unreadable):
        recorder.record_feedback("one", {"feedback": "MAYBE"})
    recorder.record_decision(GOOD)
    recorder.flush()
    (row,) = stored("SELECT external_id, released_at FROM overnight.quarantine")
    assert row == {"external_id": "feedback of one", "released_at": None}


def test_a_name_is_a_name_and_no_path(home, database):
    """Of the app, whose records lie in a folder of that name; what the database can't hold is none."""
    with Recorder("..", seconds=None) as made:
        made.record_decision(GOOD)
        assert [path.name for path in (home / "spool").iterdir()] == ["%2E."]
    with pytest.raises(Unreadable, match="U\\+0000"):
        Recorder("a\0b", seconds=None)


def test_personal_data_is_gone_before_anything_is_written(home, database):
    """From decisions, from feedback, and from what was refused; not a byte of it on the disk."""

    def redact(values):
        return {
            key: re.sub(r"\S+@\S+", "[mail]", value) if isinstance(value, str) else value
            for key, value in values.items()
        }

    with Recorder("app", redact=redact, seconds=None) as recorder:
        recorder.record_decision(GOOD | {"reasoning": "from me@example.org"})
        recorder.record_feedback("one", {"correction": "ask you@example.org"})
        with pytest.raises(Unreadable):
            recorder.record_decision({"reasoning": "from me@example.org"})
        files = list(spool_folder("app").iterdir())
        assert files
        assert not any(b"example.org" in file.read_bytes() for file in files)
        recorder.flush()
    (row,) = stored()
    assert (row["reasoning"], row["correction"]) == ("from [mail]", "ask [mail]")
    assert b"example.org" not in bytes(stored("SELECT raw FROM overnight.quarantine")[0]["raw"])


def test_the_redaction_works_on_a_copy_and_sees_the_name_of_a_feedback(home, database):
    """What the app's agent goes on working with stays; a name that is made another one is so everywhere."""

    def redact(values):
        values["external_id"] = values["external_id"].replace("ada@example.org", "user-1")
        if "state" in values:
            values["state"]["sender"]["mail"] = None
        return values

    state = {"sender": {"mail": "ada@example.org"}}
    with Recorder("app", redact=redact, seconds=None) as recorder:
        given = {name: value for name, value in GOOD.items() if name != "id"}
        recorder.record_decision(given | {"external_id": "ada@example.org/7", "state": state})
        recorder.record_feedback("ada@example.org/7", {"feedback": "CONFIRMED"})
        assert not any(b"example.org" in file.read_bytes() for file in spool_folder("app").iterdir())
        recorder.flush()
    assert state == {"sender": {"mail": "ada@example.org"}}
    (row,) = stored()
    assert (row["external_id"], row["feedback"]) == ("user-1/7", "CONFIRMED")
    assert row["state"] == {"sender": {"mail": None}}


def test_a_later_verdict_stands_for_itself(recorder):
    """The correction that came with the one before is none of the new one's; one that came ahead of its verdict stays."""
    recorder.record_decision(GOOD)
    at = "2026-11-02T12:00:0{}Z".format
    recorder.record_feedback("one", {"correction": "taxes", "feedback_at": at(1)})
    recorder.record_feedback("one", {"feedback": "CORRECTED", "feedback_at": at(2)})
    recorder.flush()
    assert [(row["feedback"], row["correction"]) for row in stored()] == [("CORRECTED", "taxes")]
    recorder.record_feedback("one", {"feedback": "CORRECTED", "feedback_at": at(3)})
    recorder.flush()
    assert [(row["feedback"], row["correction"]) for row in stored()] == [("CORRECTED", None)]


def test_nothing_is_written_where_the_redaction_fails(home, database):
    """The app is told, the row is counted, and none of its words is kept."""

    def redact(values):
        return {name: values[name].lower() for name in ("state", "nobody")}

    with Recorder("app", redact=redact, seconds=None) as recorder:
        for call in (
            lambda: recorder.record_decision(GOOD | {"state": "SECRET"}),
            lambda: recorder.record_feedback("one", {"correction": "SECRET"}),
        ):
            with pytest.raises(Unreadable, match="redact ended with KeyError, and nothing is kept"):
                call()
        assert not any(b"SECRET" in file.read_bytes() for file in spool_folder("app").iterdir())
        assert recorder.flush() == Accounting(read=2, quarantined={"redaction_failed": 2})


@pytest.mark.parametrize(
    ("given", "kept"), [("archive", "archive"), ('"archive"', "archive"), ("3", 3), ('["a"]', ["a"])]
)
def test_an_action_may_be_words(recorder, given, kept):
    """What is no JSON, and doesn't begin like it, is taken as it stands."""
    recorder.record_decision(GOOD | {"action": given})
    recorder.flush()
    assert stored()[0]["action"] == kept


def test_the_store_may_be_away_for_a_while(home, database, monkeypatch, caplog):
    """Calls go on, the lines wait on the disk, and all of them are in the store when it is back."""
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", AWAY)
    with caplog.at_level(logging.WARNING), Recorder("app", seconds=0.05) as recorder:
        recorder.record_decision(GOOD)
        while not caplog.records:
            time.sleep(0.01)
        assert "stays in" in caplog.text
        with pytest.raises(StoreError):
            recorder.flush()
        recorder.record_feedback("one", {"feedback": "CONFIRMED"})
        monkeypatch.setenv("OVERNIGHT_DATABASE_URL", database)
        limit = time.monotonic() + 30
        while time.monotonic() < limit and not [row for row in stored() if row["feedback"]]:
            time.sleep(0.05)
    assert [(row["feedback"], row["revision"]) for row in stored()] == [("CONFIRMED", 2)]


def test_what_stays_at_the_end_is_the_next_ones(home, database, monkeypatch):
    """A recorder that is closed while the store is away leaves its file; the next one of that app brings it in."""
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", AWAY)
    with Recorder("app", seconds=None) as first:
        first.record_decision(GOOD)
    with pytest.raises(StorageError, match="the recorder of app is closed"):
        first.record_decision(GOOD)
    assert len(list(spool_folder("app").iterdir())) == 1
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", database)
    with Recorder("app", seconds=None) as second:
        assert second.flush() == Accounting(read=1, written=1)
    assert list(spool_folder("app").iterdir()) == []
    assert stored("SELECT * FROM overnight.watermarks") == []


def test_two_processes_of_an_app_do_not_touch_each_other_s_files(home, database):
    """A file is held by who writes it."""
    with Recorder("app", seconds=None) as one, Recorder("app", seconds=None) as other:
        one.record_decision(GOOD)
        assert other.flush() == Accounting()
        assert one.flush() == Accounting(read=1, written=1)


def test_threads_share_the_disk_s_time(home, database, monkeypatch):
    """Lines that wait for the disk together reach it together: fewer syncs than calls, each call synced."""
    synced = []
    real = os.fsync

    def slow(handle):
        synced.append(handle)
        time.sleep(0.02)
        real(handle)

    with Recorder("app", seconds=None) as recorder:
        threads = [
            threading.Thread(target=recorder.record_decision, args=(GOOD | {"id": str(number)},))
            for number in range(40)
        ]
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", slow)
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert 1 <= len(synced) < 20
        assert recorder.flush().written == 40


def test_a_full_disk_is_one_clear_error_and_leaves_no_half_line(recorder, monkeypatch):
    """The call fails, the file is as before, and the next call is kept."""
    recorder.record_decision(GOOD)
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, line: real(handle, line[:10]))
    with pytest.raises(StorageError, match="ENOSPC"):
        recorder.record_decision(GOOD | {"id": "two"})
    monkeypatch.setattr(os, "write", real)
    recorder.record_decision(GOOD | {"id": "three"})
    assert recorder.flush() == Accounting(read=2, written=2)


def test_a_disk_that_refuses_to_sync_is_not_believed_again(recorder, monkeypatch):
    """The next calls fail too, until a batch has put another file in place."""
    recorder.record_decision(GOOD)

    def broken(_handle):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(StorageError):
            recorder.record_decision(GOOD | {"id": "two"})
    with pytest.raises(StorageError):
        recorder.record_decision(GOOD | {"id": "two"})
    recorder.flush()
    recorder.record_decision(GOOD | {"id": "three"})
    recorder.flush()
    assert {"one", "three"} <= {row["external_id"] for row in stored()}


WORK = """
import sys, threading
from core.recording.recorder import Recorder

said = threading.Lock()
recorder = Recorder("app", seconds=0.02)

def work(thread):
    for number in range(100_000):
        name = f"{sys.argv[1]}-{thread}-{number}"
        recorder.record_decision({"id": name, "agentType": "FILER", "state": {"n": number}, "action": {}, "modelVersion": "m"})
        recorder.record_feedback(name, {"components": {"immediate": {name: 1}}})
        with said:
            print(name, flush=True)

for thread in range(4):
    threading.Thread(target=work, args=(thread,)).start()
"""


def test_a_killed_process_loses_nothing_and_doubles_nothing(home, database):
    """SIGKILL in the middle of it, five times at other moments: every acknowledged call is in the store, once."""
    told = []
    for number in range(5):
        work = subprocess.Popen(
            [sys.executable, "-c", WORK, str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        told += [work.stdout.readline().strip() for _ in range(30 + 45 * number)]
        work.send_signal(signal.SIGKILL)
        told += work.stdout.read().split("\n")[:-1]
        work.wait()
    kept = stored()
    with Recorder("app", seconds=None) as recorder:
        recorder.flush()
    rows = {row["external_id"]: row for row in stored()}
    assert len(kept) < len(rows)  # something was left to bring in
    assert set(told) <= set(rows)
    assert len(told) == len(set(told)) >= 600
    assert all(rows[name]["components"] == {"immediate": {name: 1}} for name in told)
    assert {row["revision"] for row in rows.values()} <= {1, 2}
    assert stored("SELECT * FROM overnight.quarantine") == []
    assert stored("SELECT * FROM overnight.waiting_feedback") == []
    assert list(spool_folder("app").iterdir()) == []


def test_a_batch_that_breaks_off_between_two_pages_goes_on(home, database, monkeypatch):
    """What is in the store is not read again, though the file is still there."""
    monkeypatch.setattr("core.recording.spool.PAGE", 2)
    started = datetime.now(UTC) - timedelta(days=1)
    with Recorder("app", seconds=None) as recorder:
        for number in range(5):
            recorder.record_decision(GOOD | {"id": str(number), "created_at": started})
        recorder.record_feedback("0", {"feedback": "IGNORED"})
        real = decisions.ingest_page
        calls = iter((True, False))

        def once(*given):
            if next(calls, False):
                return real(*given)
            raise StoreError("gone")

        with monkeypatch.context() as patch:
            patch.setattr("core.store.recorded.ingest_page", once)
            with pytest.raises(StoreError):
                recorder.flush()
        assert len(stored()) == 2
        assert recorder.flush() == Accounting(read=4, written=4)


def test_to_record_is_light(home):
    """An app that records does not load torch."""
    code = "import sys, core.recording.recorder; print('torch' in sys.modules, 'prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
