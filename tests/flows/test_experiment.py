"""Two models at once, as Prefect runs the analysis: from stored ratings to a verdict, a report and a result."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from core.experiment import assign, load_experiments
from core.experiment.results import ExperimentAnalysis
from core.store.engine import connection
from flows.evaluate import evaluate_experiment

pytestmark = pytest.mark.slow
FILE = """
experiments:
  - name: tone
    arms: [{name: old, share: 0.5, model: m1}, {name: new, share: 0.5, model: m2}]
  - name: back
    use_case: fantasy_draft
    arms: [{name: champion, share: 0.5, model: champion}, {name: untrained, share: 0.5, model: untrained}]
"""
INSERT = """
    INSERT INTO overnight.ratings (source, entry_id, rater_id, rating, model_version, rated_at)
    VALUES ('widgets', %s, %s, %s, %s, %s)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return path


def rate(settings, users):
    """Of those who got the new model three of four like it, of the others every second one."""
    begin = datetime.now(UTC) - timedelta(days=10)
    rows = []
    for number in range(users):
        user = f"u{number:04}"
        version = assign(settings, user).model
        liked = number % 4 > 0 if version == "m2" else number % 2 > 0
        rows.append(("e", user, "up" if liked else "down", version, begin + timedelta(days=number % 10)))
    with connection() as held, held.cursor() as cursor:
        cursor.executemany(INSERT, rows)


def test_an_experiment_is_analysed_and_told(prefect_server, home, database, file):
    """A verdict, its report as a file and as an artifact, the numbers as JSON, and a run that has ended."""
    rate(load_experiments(file).named("tone"), 400)
    state = evaluate_experiment("tone", "widgets", str(file), return_state=True)
    assert state.is_completed(), state.message
    folder = home / "runs" / str(state.state_details.flow_run_id)
    report = (folder / "report.md").read_text()
    assert report.startswith("# Experiment tone: new better\n")
    found = ExperimentAnalysis.model_validate_json((folder / "results.json").read_text())
    assert found.users == 400
    assert (found.misrouted, found.in_two_arms, len(found.comparisons[0].looks)) == (0, 0, 10)
    assert json.loads((folder / "results.json").read_text())["comparisons"][0]["verdict"] == "better"
    with connection() as held:
        assert held.execute("SELECT use_case, status FROM overnight.runs").fetchall() == [
            ("experiment", "completed")
        ]
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["overnight-experiment"]))
        assert any(one.data == report for one in client.read_artifacts(artifact_filter=key))


def test_what_is_wrong_is_one_clear_line(prefect_server, home, database, file):
    """An experiment that there is not, none in the file that comes along, and arms that nothing tells apart."""
    refused = evaluate_experiment("tune", "widgets", str(file), return_state=True)
    assert refused.message.endswith("ConfigError: unknown experiment 'tune': choose one of tone, back")
    refused = evaluate_experiment("tone", "widgets", return_state=True)
    assert "unknown experiment 'tone': there are none yet" in refused.message
    refused = evaluate_experiment("back", "widgets", str(file), return_state=True)
    assert "champion and untrained (untrained) are both version 'base'" in refused.message
    assert "\n" not in refused.message


def test_an_experiment_without_ratings_can_not_tell_yet(prefect_server, home, database, file):
    """That is no failure."""
    state = evaluate_experiment("tone", "nobody", str(file), return_state=True)
    assert state.is_completed(), state.message
    report = (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()
    assert "do not both have ratings yet" in report
