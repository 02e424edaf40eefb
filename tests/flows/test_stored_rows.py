"""Rows that lie in the store, through Prefect: read every time, and never a stale set called new."""

import json
from datetime import date, timedelta

import pytest

from core.config import load_config
from core.store.engine import connection
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from flows.evaluate import evaluate_model
from flows.export import export

pytestmark = pytest.mark.slow
DAY = date(2026, 11, 9)
SMALL = {"desk.decisions": 16, "model": "smollm2-135m"}


def fill(open_desk, day):
    open_desk(load_config(DecisionAgentsConfig, "decision_agents", "demo", SMALL | {"as_of": day}))


def test_what_the_store_holds_now_is_exported(prefect_server, home, database, open_desk, states):
    """The same store gives the same files; a night later there are others. Lines are an app's own, a folder a split."""
    fill(open_desk, DAY)
    first = export("decision_agents", "sft", "demo", SMALL, str(home / "first"), "lines", return_state=True)
    again = export("decision_agents", "sft", "demo", SMALL, str(home / "again"), "lines", return_state=True)
    assert again.result().sha256 == first.result().sha256
    found = states(again.state_details.flow_run_id, "collect", "reward", "snapshot-sft", "lines")
    assert found["collect"] == "Completed"
    assert {found[name] for name in ("reward", "snapshot-sft", "lines")} == {"Cached"}
    for split in ("train", "validation", "test"):
        rows = (home / "first" / split / "rows.jsonl").read_bytes()
        assert rows == (home / "again" / split / "rows.jsonl").read_bytes()
        lines = [json.loads(line) for line in rows.splitlines()]
        assert len(lines) == first.result().counts.get(split, 0)
        assert {tuple(sorted(line)) for line in lines} <= {
            ("completion", "confidence", "metadata", "prompt", "reward")
        }
        assert lines or split == "validation"  # a share of few users may be none
    whole = export("decision_agents", "sft", "demo", SMALL, str(home / "all"), "collected")
    rows = [json.loads(line) for line in (home / "all" / "rows.jsonl").read_bytes().splitlines()]
    assert len(rows) == whole.counts["rows"] > first.result().counts["rows"]
    assert {"prompt", "completion", "reward", "confidence", "metadata", "split"} <= set(rows[0])
    fill(open_desk, DAY + timedelta(days=1))
    later = export("decision_agents", "sft", "demo", SMALL)
    assert later.sha256 != first.result().sha256
    with connection() as held:
        kinds = held.execute("SELECT DISTINCT kind FROM overnight.snapshots ORDER BY 1").fetchall()
        held_by = held.execute("SELECT count(DISTINCT snapshot) FROM overnight.snapshot_subjects").fetchone()
    assert [kind for (kind,) in kinds] == [
        "decisions",
        "groups-sft",
        *(f"lines-{split}" for split in ("test", "train", "validation")),
        "rewards",
    ]
    assert held_by == (2,)


def test_a_use_case_without_an_app_has_no_lines(prefect_server, home, database):
    """Said before any work starts."""
    state = export("fantasy_draft", "sft", "demo", None, None, "lines", return_state=True)
    assert state.is_failed()
    assert "fantasy_draft has no app whose lines its rows could be: export them as groups" in str(
        state.message
    )


def test_any_model_is_tested_on_the_lines_of_a_file(prefect_server, home, database, tiny, tmp_path):
    """Beside its base, with intervals, errors and samples: as JSON where it was asked for, and as a report."""
    lines = [
        {
            "prompt": f"File the item {number}.\n",
            "completion": '{"opus":"A"}',
            "reward": 1.0,
            "metadata": {"decisionId": f"d{number}", "userFeedback": "CONFIRMED", "userId": f"u{number}"},
        }
        for number in range(6)
    ]
    file, output = tmp_path / "test.jsonl", tmp_path / "results.json"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    overrides = {"model": str(tiny), "lengths.filer.completion": 6}
    ran = evaluate_model(
        str(tiny), str(file), "decision_agents", "demo", overrides, "FILER", str(output), return_state=True
    )
    evaluation = ran.result()
    assert evaluation.items == evaluation.clusters == 6
    found = json.loads(output.read_text())
    assert found["policies"]["candidate"]["error_rate"] == 1.0
    assert found["policies"]["as logged"]["accuracy"]["mean"] == 1.0
    assert len(found["policies"]["candidate"]["samples"]) == 5
    folder = home / "runs" / str(ran.state_details.flow_run_id)
    assert json.loads((folder / "results.json").read_text()) == found
    assert "6 of FILER, lines of test.jsonl" in (folder / "report.md").read_text()

    state = evaluate_model(
        str(tiny), str(file), "fantasy_draft", "demo", {"model": str(tiny)}, return_state=True
    )
    assert "fantasy_draft has no contest about the rows of a file" in str(state.message)
