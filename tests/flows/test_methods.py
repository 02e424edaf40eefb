"""Every training method that the draft offers, as a flow on a tiny model."""

import json
import math
from pathlib import Path

import pytest

from core.checkpoint import Checkpoint
from core.dataset import read_rows
from core.store.registry import find_checkpoint, lineage
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
    chain = {"open", "collect", "reward", "snapshot-sft", "train-sft", "snapshot-dpo", "train-dpo", "report"}
    assert states(ran.state_details.flow_run_id, *chain) == dict.fromkeys(chain, "Completed")
    text = report(home, ran)
    assert "\n## Training: SFT\n" in text
    assert "\n## Training: DPO\n" in text
    assert "![dpo: loss](data:image/png;base64," in text
    assert "| accuracy |" in text

    overrides = small | {"kto.trainer": "trl", **BRIEF["kto"]}
    ran = train("fantasy_draft", "kto", "demo", overrides, return_state=True)
    kto = ran.result()
    found = states(ran.state_details.flow_run_id, "train-sft", "report")
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


def decisions(count: int) -> list[dict]:
    """What an app exports: sessions of two decisions, newest first, half of them with the right answer."""
    return [
        {
            "prompt": f"{number}: {'A 9 B 1' if best else 'A 1 B 9'}\nPick:",
            "completion": " A" if taken else " B",
            "reward": float(best == taken),
            "confidence": 0.8,
            "metadata": {
                "decisionId": f"d{number}",
                "sessionId": f"s{number // 2}",
                "createdAt": f"2026-11-01T12:{59 - number:02d}:00Z",
            },
        }
        for number in range(count)
        for best, taken in [(number % 2 == 0, number % 4 < 2)]
    ]


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """Decisions as an app exports them, with two bad lines; and the same as groups of two answers."""
    rows = decisions(40)
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "decisions.jsonl").write_text("\n".join([*lines, "{", lines[0]]))
    groups = []
    for row in rows:
        right = "A 9" in row["prompt"]
        scored = {"completions": [" A", " B"], "rewards": [float(right), float(not right)]}
        groups.append({"id": row["metadata"]["decisionId"], "prompt": row["prompt"]} | scored)
    (tmp_path / "groups.jsonl").write_text("\n".join(map(json.dumps, groups)))
    return {name: tmp_path / f"{name}.jsonl" for name in ("decisions", "groups")}


def test_a_file_is_trained_on(home, database, small, states, files):
    """No row of the use case is made: decisions for SFT and PPO, groups for DPO; what was left out is in the report."""
    brief = {"max_steps": 3, "eval_every": 3, "eval_groups": 4, "learning_rate": 1e-3}
    used = {}
    for method, name in (("sft", "decisions"), ("ppo", "decisions"), ("dpo", "groups")):
        settings = {f"{method}.{key}": value for key, value in brief.items()} | {"ppo.source": "logged"}
        asked = ("fantasy_draft", method, "demo", small | settings, None, str(files[name]))
        ran = train(*asked, return_state=True)
        trained = ran.result()
        chain = {"open", "given", f"train-{method}", "report"}
        assert states(ran.state_details.flow_run_id, *chain).keys() == chain
        (snapshot,) = lineage(trained.sha256)[1:]
        assert (snapshot.kind, trained.parents) == ("given", (snapshot.sha256,))
        used[method] = snapshot
        left_out = "id twice: 1; no JSON: 1" if name == "decisions" else "none"
        assert f"| given | 40 | 36 | – | 4 | {left_out} |" in report(home, ran)
    assert used["sft"] == used["ppo"] != used["dpo"]
    assert used["ppo"].skipped == {"id twice": 1, "no JSON": 1}


def test_a_file_that_does_not_fit_the_settings(prefect_server, home, database, small, tmp_path):
    """One line before any work where the file is missing, and before any step where it leaves nothing to choose."""
    path = tmp_path / "decisions.jsonl"
    state = train("fantasy_draft", "ppo", "demo", small, None, str(path), return_state=True)
    assert f"DataError: rows: {path} is no file on the worker's machine" in state.message
    assert not (home / "stages").exists()
    path.write_text("\n".join(json.dumps(row) for row in decisions(8)))
    state = train("fantasy_draft", "ppo", "demo", small, None, str(path), return_state=True)
    assert (
        "lists one answer a prompt, so ppo with online.answers 'listed' has nothing to choose: set ppo.source"
        in (state.message)
    )


def test_the_rows_of_preferences_are_written_out(prefect_server, home, database, small):
    """Scenarios with every candidate's reward; the teacher's demonstrations are for SFT."""
    written = export("fantasy_draft", "dpo", "demo", small)
    rows = list(read_rows(written))
    assert all(len(row["rewards"]) == len(row["completions"]) > 1 for row in rows)
    assert written.skipped == {"a demonstration, for another method": 80}
