"""Online GRPO by TRL: it learns what our reward says, and leaves what our own trainer leaves."""

import math
import signal
import subprocess
import sys
import time

import pytest

from core.config import ROOT
from core.dataset import Snapshot, write_snapshot
from core.errors import DataError, TrainingError
from core.language.model import load_checkpoint
from core.training.config import AdapterSettings
from core.training.progress import read_progress
from core.training.worker import train_here

ADAPTER = AdapterSettings(r=8, alpha=16)
HERE = "tests.core.training.backends.test_trl_grpo"
# a few layers of random weights hardly prefer one letter to another: the temperature makes them
ONLINE = {
    "sampling": {"max_tokens": 2, "temperature": 0.1},
    "train_cut": True,
    "reward": f"{HERE}:letters",
}


def letters(prompt, completions, metadata):
    """Twice what begins with a letter, so that the reward's unit is seen."""
    assert prompt.startswith(metadata["begins"])
    return [2.0 * text[:1].isalpha() for text in completions]


def unknown(prompt, completions, metadata):
    """Nobody knows."""
    return [None for _ in completions]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> Snapshot:
    rows = [
        {
            "id": f"{split}-{n}",
            "prompt": f"Pick {n}:",
            "completions": [" A"],
            "rewards": [1.0],
            "split": split,
        }
        | {"metadata": {"begins": f"Pick {n}"}}
        for split, count in (("train", 16), ("test", 6))
        for n in range(count)
    ]
    return write_snapshot(tmp_path_factory.mktemp("prompts") / "snapshot", "grpo", rows)


@pytest.fixture
def grpo(settings_of):
    def make(**changes):
        values = {"estimator": "online", "online": ONLINE, "trainer": "trl", "group_size": 4, "beta": 0.01}
        return settings_of["grpo"](**(values | changes))

    return make


def test_it_earns_more_and_leaves_the_same_artifacts(tmp_path, tiny, prompts, spec_of, grpo):
    """Held-out reward, in its own unit, is higher in the end, and the checkpoint of the highest is kept."""
    settings = grpo(epochs=8, learning_rate=2e-2, advantage_scale=0.5)
    tuned = train_here(spec_of(tiny, prompts, tmp_path / "run", settings, adapter=ADAPTER))
    lines = read_progress(tmp_path / "run")
    looks = [line.metrics for line in lines if line.phase == "eval"]
    rewards = [look["reward"] for look in looks]
    assert max(rewards) > rewards[0] + 0.3
    assert 0 <= min(rewards) <= max(rewards) <= 2
    assert tuned.metrics["reward"] == max(rewards)
    assert tuned.metrics["start_kl"] == pytest.approx(0, abs=1e-5)
    assert max(line.metrics["kl"] for line in lines if line.phase == "train") > 0.001
    assert load_checkpoint(tuned).context_length == 1024
    assert "by held-out negative_reward" in tuned.notes["said"][-1]


def test_two_updates_on_a_draw_of_two_parts(tmp_path, tiny, prompts, spec_of, grpo):
    """Each draw gives two steps, each of two forward passes."""
    settings = grpo(
        num_iterations=2, gradient_accumulation_steps=2, advantage_scale="std", std_floor=1e-4, epochs=1
    )
    tuned = train_here(spec_of(tiny, prompts, tmp_path / "run", settings, adapter=ADAPTER))
    assert tuned.notes["total_steps"] == 8


def test_a_completion_without_a_score_is_refused(tmp_path, tiny, prompts, spec_of, grpo):
    """TRL would count it as worth nothing."""
    spec = spec_of(
        tiny, prompts, tmp_path / "run", grpo(online=ONLINE | {"reward": f"{HERE}:unknown"}), adapter=ADAPTER
    )
    with pytest.raises(
        TrainingError, match=r"^a completion of row \S+ has no score, and TRL's grpo would count"
    ):
        train_here(spec)


def test_a_batch_that_prompts_do_not_fill_is_refused(tmp_path, tiny, prompts, spec_of, grpo):
    """TRL drops what is left of a batch, here everything."""
    spec = spec_of(tiny, prompts, tmp_path / "run", grpo(batch_size=20), adapter=ADAPTER)
    with pytest.raises(DataError, match=r"there are 16 prompts to train on: set grpo\.batch_size \(now 20\)"):
        train_here(spec)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, tiny, prompts, spec_of, grpo):
    """Its random numbers come back too; what it is held to is the start, not the checkpoint it goes on from."""
    settings = grpo(epochs=12, save_every=3, eval_every=40)
    whole = train_here(spec_of(tiny, prompts, tmp_path / "whole", settings, adapter=ADAPTER))
    spec = spec_of(tiny, prompts, tmp_path / "killed", settings, adapter=ADAPTER)
    (tmp_path / "killed" / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "core.training.worker", str(tmp_path / "killed" / "spec.json")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as child:
        while not list((tmp_path / "killed").glob("checkpoints/checkpoint-*/complete.json")):
            assert child.poll() is None
            time.sleep(0.002)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not spec.result.exists()
    again = train_here(spec)
    courses = [
        [line.metrics["loss"] for line in read_progress(tmp_path / run) if line.phase == "train"]
        for run in ("whole", "killed")
    ]
    assert courses[0] == courses[1]
    assert all(map(math.isfinite, courses[0]))
    assert again.sha256 == whole.sha256
