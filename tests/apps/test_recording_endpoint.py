"""An app in another language records over HTTP, as a process of its own."""

import http.client
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.store.engine import connection
from core.value import LARGEST

ROOT = Path(__file__).parents[2]
DECISION = {
    "id": "d/1",
    "agentType": "FILER",
    "state": {"text": "an invoice"},
    "action": {"folder": "bills"},
    "modelVersion": "base",
}
REDACT = (
    "def redact(values):\n    return {name: value for name, value in values.items() if name != 'reasoning'}\n"
)


SWITCHED_ON = '{"online.enabled": true, "online.min_samples_to_retrain": 1}'


class Endpoint:
    """The running endpoint, and a client that knows HTTP and nothing else."""

    def __init__(self, folder):
        (folder / "ours.py").write_text(REDACT)
        code = (
            f"import sys; sys.path.append({str(folder)!r}); from apps.recording import main; sys.exit(main())"
        )
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                code,
                "--source",
                "js",
                "--port",
                "0",
                "--redact",
                "ours:redact",
                "--overrides",
                SWITCHED_ON,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = self.process.stdout.readline()
        self.port = int(re.match(r"Recording for the source 'js' at http://127\.0\.0\.1:(\d+);", said)[1])

    def call(self, method, path, value=None, *, raw=None, kind="application/json", host=None):
        """A request; status and the answer's JSON."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = raw if raw is not None else None if value is None else json.dumps(value)
        headers = ({"Content-Type": kind} if body is not None else {}) | ({"Host": host} if host else {})
        client.request(method, path, body, headers)
        answer = client.getresponse()
        words = answer.read()
        return answer.status, json.loads(words) if words.startswith(b"{") else words.decode()

    def stop(self):
        """End it as a service is ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture
def endpoint(home, database, tmp_path):
    started = Endpoint(tmp_path)
    yield started
    started.process.kill()
    started.process.wait()


def query(statement):
    with connection() as held:
        return held.execute(statement).fetchall()


def test_an_app_records_over_http(endpoint):
    """A decision, what came of it, and which model to use; the endpoint's end brings all of it into the store."""
    assert endpoint.call("POST", "/decisions", DECISION | {"reasoning": "secret"}) == (202, {"id": "d/1"})
    status, answer = endpoint.call("POST", "/decisions", {key: DECISION[key] for key in list(DECISION)[1:]})
    assert (status, len(answer["id"])) == (202, 32)
    news = {"userFeedback": "CORRECTED", "userCorrection": {"folder": "taxes"}}
    assert endpoint.call("POST", "/decisions/d%2F1/feedback", news) == (202, {"id": "d/1"})
    status, model = endpoint.call("GET", "/models/decision_agents/filer")
    assert (status, model["version"], model["slot"]) == (200, "base", "filer")
    status, answer = endpoint.call("GET", "/models/chess/white")
    assert status == 404
    assert "unknown use case 'chess'" in answer["detail"]
    endpoint.stop()
    rows = query(
        "SELECT source, feedback, correction, reasoning FROM overnight.decisions WHERE external_id = 'd/1'"
    )
    assert rows == [("js", "CORRECTED", {"folder": "taxes"}, None)]
    assert query("SELECT count(*) FROM overnight.decisions") == [(2,)]


def test_a_thumb_comes_over_http(endpoint):
    """With what was shown, once; the same again changes nothing, another mind does, and what is wrong is told."""
    shown = {"entryId": "e1", "question": "How are the pumps?", "widget": "kpi"}
    thumb = {"entryId": "e1", "raterId": "ann", "rating": "up", "modelVersion": "base"}
    status, answer = endpoint.call("POST", "/ratings", thumb)
    assert (status, answer["reason"]) == (422, "unknown_entry")
    assert endpoint.call("POST", "/ratings", thumb | shown) == (200, {"changed": True})
    assert endpoint.call("POST", "/ratings", thumb) == (200, {"changed": False})
    assert endpoint.call("POST", "/ratings", thumb | {"rating": "down"}) == (200, {"changed": True})
    status, answer = endpoint.call("POST", "/ratings", thumb | {"rating": "maybe"})
    assert (status, answer["reason"]) == (422, "unknown_rating")
    assert answer["detail"] == "rating 'maybe' is none of up, down"
    status, answer = endpoint.call("POST", "/ratings", thumb | {"rating": "up", "widget": "kpi"})
    assert (status, answer["detail"]) == (422, "question and prompt missing: give every entry one of them")
    status, answer = endpoint.call("POST", "/ratings", thumb | {"thumb": 1})
    assert (status, answer["reason"]) == (422, "unknown_field")
    assert query("SELECT source, rating, revision, model_version FROM overnight.ratings") == [
        ("js", "down", 2, "base")
    ]


def test_anybody_here_asks_whether_it_is_time_to_learn(endpoint):
    """How many ratings are new, how many are enough, and when any is, by a preset's settings."""
    shown = {"entryId": "e1", "question": "How are the pumps?", "widget": "kpi"}
    assert endpoint.call("GET", "/status")[1]["next_check"] is None
    endpoint.call("POST", "/ratings", shown | {"raterId": "ann", "rating": "up"})
    status, told = endpoint.call("GET", "/status?preset=demo")
    assert status == 200
    assert (told["source"], told["ratings"], told["buffer_size"], told["last_run"]) == ("js", 1, 1, None)
    assert (told["min_samples"], told["enabled"], told["should_retrain"]) == (1, True, True)
    assert told["next_check"] is not None
    status, told = endpoint.call("GET", "/status?preset=tune")
    assert (status, told["detail"][:21]) == (404, "unknown preset 'tune'")


def test_what_is_wrong_is_told_with_its_reason(endpoint):
    """A field, JSON that is none, a number that is none, letters that nobody can keep, the wrong kind, and too much of it."""
    post = ("POST", "/decisions")
    assert endpoint.call(*post, DECISION | {"agentType": "CLERK"}) == (
        422,
        {
            "detail": "agent_type 'CLERK' is none of FILER, LIBRARIAN, PRIORITIZER, STORER, RETRIEVER",
            "reason": "unknown_agent_type",
        },
    )
    assert endpoint.call(*post, raw='{"id": ')[1]["reason"] == "bad_json"
    assert endpoint.call(*post, [1]) == (
        422,
        {"detail": "a JSON list: send an object with fields", "reason": "bad_json"},
    )
    for state, reason in (
        ('{"x": NaN}', "non_finite"),
        ('{"x": "\\u0000"}', "nul_char"),
        ('{"x": "\\ud800"}', "bad_unicode"),
    ):
        raw = json.dumps(DECISION).replace('{"text": "an invoice"}', state)
        status, answer = endpoint.call(*post, raw=raw)
        assert (status, answer["reason"]) == (422, reason)
    assert endpoint.call(*post, raw="[" * 100_000)[0] == 422
    assert endpoint.call(*post, raw=json.dumps(DECISION), kind="text/plain")[0] == 415
    assert (
        endpoint.call("POST", "/decisions/d1/feedback", {"feedbak": "CONFIRMED"})[1]["reason"]
        == "unknown_field"
    )
    status, answer = endpoint.call(*post, DECISION | {"reasoning": "y" * (LARGEST + 100_000)})
    assert (status, answer["reason"]) == (413, "oversize")
    assert "larger than" in answer["detail"]
    assert endpoint.call(*post, DECISION | {"id": "words", "action": "archive"})[0] == 202


def test_a_killed_endpoint_has_kept_what_it_said(endpoint, home):
    """SIGKILL right after an answer: the next process of that app brings it in."""
    for number in range(20):
        endpoint.call("POST", "/decisions", DECISION | {"id": str(number)})
    endpoint.process.kill()
    endpoint.process.wait()
    code = "from core.recording.recorder import Recorder; Recorder('js', seconds=None).close()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert query("SELECT count(*) FROM overnight.decisions") == [(20,)]


def test_a_redaction_that_is_none_is_one_clear_line():
    """Before anything is served: nothing there, or nothing that can be called."""
    command = [sys.executable, "-m", "apps.recording", "--redact", "os:path"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("error: --redact os:path is module: name a function")
    command = [sys.executable, "-m", "apps.recording", "--redact", "nobody.there:redact"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: --redact nobody.there:redact can't be imported (No module named 'nobody'"
    )


def test_a_port_that_is_taken_is_said(endpoint, home, database):
    """In one line, before anything is recorded."""
    again = [sys.executable, "-m", "apps.recording", "--source", "js", "--port", str(endpoint.port)]
    ended = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert f"error: port {endpoint.port} of 127.0.0.1 can't be had (" in ended.stderr
