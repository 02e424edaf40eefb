"""Whole runs whose completions the policy draws itself: they learn, and a killed one goes on to the same weights."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.config import ROOT
from core.dataset import Snapshot, write_snapshot
from core.errors import ConfigError
from core.training.progress import read_progress
from core.training.worker import train_here

# a few layers of random weights hardly prefer one letter to another: the temperature makes them
CHOICE = {"answers": "listed", "sampling": {"max_tokens": 1, "temperature": 0.1}}
SHORT = {
    "sampling": {"max_tokens": 2, "temperature": 0.1},
    "train_cut": True,
    "reward": "tests.core.training.test_online_runs:begins_with_a_letter",
}


def begins_with_a_letter(prompt, completions, metadata):
    """1 or 0."""
    return [float(text[:1].isalpha()) for text in completions]


@pytest.fixture(scope="module")
def favourites(tmp_path_factory) -> Snapshot:
    """Whatever the prompt, the second letter is worth most, and the fourth a little."""
    rows = [
        {
            "id": f"{split}-{place}",
            "prompt": f"Pick {place}:",
            "completions": [" A", " B", " C", " D"],
            "rewards": [0.0, 1.0, 0.0, 0.2],
            "split": split,
        }
        for split, count in (("train", 16), ("test", 6))
        for place in range(count)
    ]
    return write_snapshot(tmp_path_factory.mktemp("favourites") / "snapshot", "grpo", rows)


def by_step(folder: Path, phase: str, name: str) -> dict[int, float]:
    """A step whose draws taught nothing has no KL."""
    lines = [line for line in read_progress(folder) if line.phase == phase and name in line.metrics]
    return {line.step: line.metrics[name] for line in lines}


def curve(folder: Path, phase: str, name: str) -> list[float]:
    return list(by_step(folder, phase, name).values())


def test_grpo_on_its_own_answers_earns_more(tmp_path, tiny, favourites, spec_of, settings_of):
    """Held-out draws earn more in the end than at the start, and the best of all looks is kept."""
    settings = settings_of["grpo"](
        estimator="online", online=CHOICE, epochs=5, learning_rate=2e-2, advantage_scale="std", beta=0.01
    )
    tuned = train_here(spec_of(tiny, favourites, tmp_path / "run", settings))
    rewards = curve(tmp_path / "run", "eval", "reward")
    assert tuned.metrics["reward"] == max(rewards)
    assert max(rewards) > rewards[0] + 0.3
    assert curve(tmp_path / "run", "eval", "kl")[0] == pytest.approx(0, abs=1e-5)
    assert max(curve(tmp_path / "run", "train", "kl")) > 0.01
    assert any("taught nothing (equal rewards" in sentence for sentence in tuned.notes["said"])


def test_grpo_goes_on_from_an_adapter_and_is_held_to_it(tmp_path, tiny, choices, spec_of, settings_of):
    """The KL is to the adapter that training starts from, not to the untrained model."""
    taught = train_here(spec_of(tiny, choices, tmp_path / "sft", settings_of["sft"](epochs=3)))
    idle = settings_of["grpo"](estimator="online", online=CHOICE, learning_rate=1e-12, epochs=1)
    tuned = train_here(spec_of(tiny, choices, tmp_path / "run", idle, start=taught))
    assert tuned.metrics["start_kl"] == pytest.approx(0, abs=1e-5)


def test_written_answers_learn_what_is_rewarded(tmp_path, tiny, favourites, spec_of, settings_of):
    """Free text of two tokens, cut or not, by a function: more of it begins with a letter."""
    settings = settings_of["grpo"](
        estimator="online",
        online=SHORT,
        epochs=5,
        learning_rate=2e-2,
        advantage_scale="std",
        num_iterations=2,
    )
    tuned = train_here(spec_of(tiny, favourites, tmp_path / "run", settings))
    assert tuned.metrics["reward"] > tuned.metrics["start_reward"] + 0.3
    assert curve(tmp_path / "run", "train", "cut")[0] > 0.5
    assert any("cut at max_tokens" in sentence for sentence in tuned.notes["said"])


def test_grpo_learns_from_what_a_server_draws(  # noqa: PLR0917  (fixtures)
    tmp_path, tiny, favourites, spec_of, settings_of, server
):
    """A server that draws all letters alike: the ratio is to that, and the looks are at the policy that learns."""
    served = {"backend": "vllm", "url": server.url, "model": "night-7"}
    online = CHOICE | {"rollout": served}
    settings = settings_of["grpo"](
        estimator="online",
        online=online,
        epochs=4,
        learning_rate=2e-2,
        advantage_scale="std",
        clip_range=3.0,
        beta=0.0,
    )
    tuned = train_here(spec_of(tiny, favourites, tmp_path / "run", settings))
    assert tuned.metrics["reward"] > tuned.metrics["start_reward"] + 0.2
    assert curve(tmp_path / "run", "train", "reward")[-1] == pytest.approx(0.3)
    assert {request["model"] for request, _ in server.asked} == {"night-7"}
    server.refuse = (404, "The model `night-7` does not exist.")
    with pytest.raises(ConfigError, match="knows no model 'night-7'"):
        train_here(spec_of(tiny, favourites, tmp_path / "other", settings))
    with pytest.raises(ValueError, match=r"has no sampling\.top_p"):
        settings_of["grpo"](estimator="online", online=online | {"sampling": {"top_p": 0.9}})


def test_ppo_on_its_own_answers_earns_more(tmp_path, tiny, favourites, spec_of, settings_of):
    """Every row a session of one decision: two passes over each of six draws of all."""
    settings = settings_of["ppo"](
        source="online", online=CHOICE, iterations=6, epochs=2, learning_rate=2e-2, value_learning_rate=1e-2
    )
    tuned = train_here(spec_of(tiny, favourites, tmp_path / "run", settings))
    assert tuned.metrics["reward"] > tuned.metrics["start_reward"] + 0.3
    assert len(curve(tmp_path / "run", "train", "loss")) == 6 * 2 * 4
    assert (Path(tuned.path) / "value_head.safetensors").is_file()


def test_a_reward_that_is_not_there_ends_the_run_before_the_first_step(
    tmp_path, tiny, choices, spec_of, settings_of
):
    """One clear error from the training process."""
    settings = settings_of["grpo"](estimator="online", online={"reward": "core.nothing:here"})
    with pytest.raises(ConfigError, match=r"core\.nothing:here"):
        train_here(spec_of(tiny, choices, tmp_path / "run", settings))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("grpo", {"estimator": "online", "online": CHOICE, "num_iterations": 2, "epochs": 3}),
        ("grpo", {"estimator": "online", "online": SHORT, "epochs": 5, "gradient_accumulation_steps": 2}),
        ("ppo", {"source": "online", "online": CHOICE, "iterations": 4, "epochs": 1}),
    ],
)
def test_a_killed_run_draws_the_same_again(  # noqa: PLR0917
    tmp_path, tiny, favourites, spec_of, settings_of, method, changes
):
    """SIGKILL after a checkpoint: equal losses, rewards and bits at the end, with an adapter that drops out inputs."""
    settings = settings_of[method](**changes)
    whole = train_here(spec_of(tiny, favourites, tmp_path / "whole", settings))
    spec = spec_of(tiny, favourites, tmp_path / "killed", settings)
    (tmp_path / "killed" / "spec.json").write_text(spec.model_dump_json())
    _kill_after_steps(Path(spec.folder))
    again = train_here(spec)
    for name in ("loss", "reward", "cut"):
        assert by_step(tmp_path / "whole", "train", name) == by_step(tmp_path / "killed", "train", name)
    ours, theirs = (load_file(Path(run.path) / "adapter_model.safetensors") for run in (whole, again))
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert whole.sha256 == again.sha256


def _kill_after_steps(folder: Path) -> None:
    """Once it has saved, and gone on for a step or more."""
    command = [sys.executable, "-m", "core.training.worker", str(folder / "spec.json")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as child:
        while len(curve(folder, "train", "loss")) < 8:
            assert child.poll() is None
            time.sleep(0.002)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert list(folder.glob("checkpoints/checkpoint-*/complete.json"))
    assert not (folder / "trained.json").exists()
