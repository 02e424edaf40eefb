"""The nightly chain of the decision agents: each agent its own part, and what becomes of one leaves the others theirs."""

import json

import pytest

from core.errors import TrainingError
from core.store.engine import connection
from flows.decision_agents import decision_agents
from flows.train import train

pytestmark = pytest.mark.slow
SMALL = {
    "adapter.top_layers": None,
    "sft.dtype": "fp32",
    "ppo.dtype": "fp32",
    "desk.decisions": 16,
    "desk.days": 4,
    "desk.users": 12,
    "enough_rows": 8,
    "contest.items": 12,
    "release.formats": ["lora"],
}
ONLINE = {
    "slot": "filer",
    "ppo.source": "online",
    "ppo.epochs": 1,
    "ppo.online.sampling.max_tokens": 6,
    "ppo.online.train_cut": True,
    "ppo.eval_groups": 4,
}


def test_a_night_of_two_agents(home, database, prefect_server, tiny_llama):
    """Both parts have their reports and their champions' rows; the same night again finds all of it done.

    Then PPO online on the same decisions: the policy answers the logged states, and what the user wanted scores it.
    """
    overrides = {**SMALL, "model": str(tiny_llama)}
    state = decision_agents("demo", overrides, ["FILER", "STORER"], return_state=True)
    folder = home / "runs" / str(state.state_details.flow_run_id)
    told = json.loads((folder / "summary.json").read_text())["agents"]
    assert {slot: part["ended"] for slot, part in told.items()} == {"filer": "kept", "storer": "kept"}
    report = (folder / "report.md").read_text()
    assert "| filer | kept |" in report
    assert "| decisions | 320 | 320 | 0 | none | none |" in report
    assert "## decision_agents, rewards demo: the night of" in report
    assert "| FILER | final |" in report
    assert "### Components" in report
    assert "### By the model that decided" in report
    for slot in told:
        assert f"Decisions of {slot.upper()}" in (folder / slot / "report.md").read_text()
    with connection() as held:
        asked = "SELECT slot, action FROM overnight.promotions ORDER BY slot"
        assert held.execute(asked).fetchall() == [("filer", "kept"), ("storer", "kept")]
        status = held.execute("SELECT status FROM overnight.runs").fetchall()
    assert status == [("completed",)]

    again = decision_agents("demo", overrides, ["FILER"], return_state=True)
    text = (home / "runs" / str(again.state_details.flow_run_id) / "report.md").read_text()
    assert "| decisions | 320 | 0 | 320 | none | none |" in text
    assert "| rewards | 0 | 0 | 0 | none | none |" in text

    by_itself = train("decision_agents", "ppo", "demo", overrides | ONLINE, return_state=True)
    assert by_itself.result().metrics["start_reward"] == 0  # a model of random weights answers no question
    text = (home / "runs" / str(by_itself.state_details.flow_run_id) / "report.md").read_text()
    assert "![ppo: reward](data:image/png;base64," in text
    assert "had no score" in text  # where no user said what should have been done


def test_an_agent_without_enough_rows_and_one_that_fails(home, database, prefect_server, tiny_llama):
    """The first is no failure; the second is, and is told after the others are done."""
    overrides = {**SMALL, "model": str(tiny_llama), "enough_rows": 10_000}
    (part,) = decision_agents("demo", overrides, ["FILER"])
    assert part.ended == "not enough data"
    assert "of at least 10000" in part.reason
    enough = {**overrides, "enough_rows": 8}
    (part,) = decision_agents("demo", enough | {"export.held_out": 0.001}, ["FILER"])
    assert part.ended == "not enough data"
    assert "held-out decisions of known truth, of fewer than 2 users: collect more" in part.reason
    with pytest.raises(TrainingError, match=r"filer: "):
        decision_agents("demo", enough | {"sft.learning_rate": 1e30}, ["FILER"])
