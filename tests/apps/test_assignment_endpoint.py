"""An app in another language asks who gets which model, of a process of its own."""

import http.client
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from core.experiment import assign, load_experiments

ROOT = Path(__file__).parents[2]
EXPERIMENTS = """
experiments:
  - name: tone
    arms: [{name: old, share: 0.5, model: m1}, {name: new, share: 0.5, model: m2}]
  - name: trained
    use_case: fantasy_draft
    arms: [{name: champion, share: 0.0, model: champion}, {name: untrained, share: 1.0, model: untrained}]
  - name: back
    use_case: fantasy_draft
    arms: [{name: champion, share: 0.0, model: champion}, {name: previous, share: 1.0, model: previous}]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(EXPERIMENTS)
    return path


@pytest.fixture
def ask(home, database, file):
    """Asks the running endpoint; status and the answer's JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apps.recording", "--port", str(port), "--experiments", str(file)]
    process = subprocess.Popen(command, cwd=ROOT)

    def asked(path):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, json.loads(answer.read())

    limit = time.monotonic() + 60
    while True:
        try:
            asked("/openapi.json")
        except ConnectionRefusedError:
            assert time.monotonic() < limit
            time.sleep(0.05)
        else:
            break
    yield asked
    process.kill()
    process.wait()


def test_an_app_asks_for_a_users_arm(ask, file):
    """What `assign` says, whatever letters the user's id has, with the version that a rating is to carry."""
    settings = load_experiments(file).named("tone")
    for user in ("u1", "u2", "u3", "jürgen & co/7"):
        arm = assign(settings, user)
        assert ask(f"/assignment?experiment=tone&user={quote(user)}") == (
            200,
            {"experiment": "tone", "arm": arm.name, "model": arm.model, "version": arm.model},
        )
    assert ask("/assignment?experiment=trained&user=u1") == (
        200,
        {"experiment": "trained", "arm": "untrained", "model": "untrained", "version": "base"},
    )


def test_what_is_wrong_is_told(ask):
    """An experiment that there is not, a user without an id, a role that nobody has had, and a question without a user."""
    status, answer = ask("/assignment?experiment=tune&user=u1")
    assert (status, answer["detail"]) == (
        404,
        "unknown experiment 'tune': choose one of tone, trained, back",
    )
    status, answer = ask("/assignment?experiment=tone&user=")
    assert (status, answer["detail"]) == (
        422,
        "experiment 'tone' was asked for a user without an id: give one",
    )
    status, answer = ask("/assignment?experiment=back&user=u1")
    assert status == 404
    assert "no previous model" in answer["detail"]
    assert ask("/assignment?experiment=tone")[0] == 422


def test_a_wrong_file_is_one_clear_line(tmp_path):
    """Before anything is served."""
    path = tmp_path / "mine.yaml"
    path.write_text("experiments: [{name: tone, arms: []}]")
    command = [sys.executable, "-m", "apps.recording", "--experiments", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {path}: 'experiments.0.arms'")
    assert done.stderr.count("\n") == 1
