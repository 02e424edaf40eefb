"""Every training method that the draft offers, as a flow on a tiny model."""

import math
from pathlib import Path

import pytest

from core.checkpoint import Checkpoint
from core.dataset import read_rows
from core.store.registry import find_checkpoint
from flows.export import export
from flows.train import train

pytestmark = pytest.mark.slow
BRIEF = {
    method: {
        f"{method}.{name}": value
        for name, value in {"learning_rate": 1e-3, "max_steps": 4, "eval_every": 4, "eval_groups": 4}.items()
    }
    for method in ("dpo", "kto")
}


def report(home: Path, state) -> str:
    return (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()


def imitator_of(trained: Checkpoint) -> str:
    """What a method started from; its own record where no step was better."""
    return trained.sha256 if trained.notes["kept_start"] else trained.parents[1]


def test_preferences_are_trained_by_our_trainer_and_by_trl(home, database, small, states):
    """DPO, then KTO by TRL: both start from the one imitator, and leave checkpoint, lineage, curves and report alike."""
    ran = train("fantasy_draft", "dpo", "demo", small | BRIEF["dpo"], return_state=True)
    dpo = ran.result()
    stages = {"collect", "reward", "snapshot-sft", "train-sft", "snapshot-dpo", "train-dpo"}
    assert states(ran.state_details.flow_run_id) == dict.fromkeys(stages | {"open", "report"}, "Completed")
    text = report(home, ran)
    assert "\n## Training: SFT\n" in text
    assert "\n## Training: DPO\n" in text
    assert "![dpo: loss](data:image/png;base64," in text
    assert "| accuracy |" in text

    overrides = small | {"kto.trainer": "trl", **BRIEF["kto"]}
    ran = train("fantasy_draft", "kto", "demo", overrides, return_state=True)
    kto = ran.result()
    found = states(ran.state_details.flow_run_id)
    assert {name for name, state in found.items() if state == "Cached"} == {
        "collect",
        "reward",
        "snapshot-sft",
        "train-sft",
    }
    text = report(home, ran)
    assert "![kto: loss](data:image/png;base64," in text
    assert "trained by TRL" in text

    for trained, start_loss in ((dpo, math.log(2)), (kto, 0.5)):
        assert trained.metrics["start_loss"] == pytest.approx(
            start_loss, abs=1e-4
        )  # the start is the reference
        assert find_checkpoint(imitator_of(trained)).method == "sft"
    assert imitator_of(dpo) == imitator_of(kto)


def test_ppo_answers_by_itself(prefect_server, home, database, small):
    """The imitator plays the scenarios, the value head learns what they are worth; the report shows the reward."""
    brief = {"ppo.iterations": 2, "ppo.eval_every": 2, "ppo.eval_groups": 4}
    ran = train("fantasy_draft", "ppo", "demo", small | brief, return_state=True)
    ppo = ran.result()
    assert find_checkpoint(imitator_of(ppo)).method == "sft"
    assert ppo.metrics["reward"] >= ppo.metrics["start_reward"] > 0
    text = report(home, ran)
    assert "\n## Training: PPO\n" in text
    assert "![ppo: reward](data:image/png;base64," in text


def test_the_rows_of_preferences_are_written_out(prefect_server, home, database, small):
    """Scenarios with every candidate's reward; the teacher's demonstrations are for SFT."""
    written = export("fantasy_draft", "dpo", "demo", small)
    rows = list(read_rows(written))
    assert all(len(row["rewards"]) == len(row["completions"]) > 1 for row in rows)
    assert written.skipped == {"a demonstration, for another method": 80}
