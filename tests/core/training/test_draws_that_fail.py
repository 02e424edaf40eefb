"""Draws that can't be used, or teach nothing: what counts as a look, what a run says in the end, and what a step weighs."""

import json
from pathlib import Path

import pytest

from core.dataset import Snapshot, write_snapshot
from core.errors import TrainingError
from core.training.config import AdapterSettings
from core.training.progress import read_progress
from core.training.worker import train_here

HERE = "tests.core.training.test_draws_that_fail"
SHORT = {"max_tokens": 2, "temperature": 0.1}


def length(prompt, completions, metadata):
    """Longer earns more."""
    return [float(len(text.encode())) for text in completions]


def later(prompt, completions, metadata):
    """Training prompts have a score, held-out ones have none before the judge has seen six prompts to train on."""
    if metadata["held_out"]:
        return [float(len(text)) if len(SEEN) >= 6 else None for text in completions]
    SEEN.append(prompt)
    return [float(len(text.encode())) for text in completions]


SEEN: list[str] = []


def never(prompt, completions, metadata):
    """No judge for held-out prompts."""
    return [None if metadata["held_out"] else float(len(text.encode())) for text in completions]


def nobody(prompt, completions, metadata):
    """No judge at all."""
    return [None for _ in completions]


STOPS = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
SPOKEN: list[str] = []


def spoken(prompt, completions, metadata):
    """What there was to score."""
    SPOKEN.extend(completions)
    return [float(len(text)) for text in completions]


def often(prompt, completions, metadata):
    """As long as it is; texts of an odd length have no score for prompts of an even number."""
    even = prompt[-2] in "02468"
    return [None if even and len(text) % 2 else float(len(text)) for text in completions]


def same(prompt, completions, metadata):
    """Everything is as good."""
    return [1.0 for _ in completions]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> Snapshot:
    rows = [
        {
            "id": f"{split}-{place}",
            "prompt": f"Say {place}:",
            "split": split,
            "metadata": {"held_out": split == "test"},
        }
        for split, count in (("train", 8), ("test", 3))
        for place in range(count)
    ]
    return write_snapshot(tmp_path_factory.mktemp("prompts") / "snapshot", "grpo", rows)


@pytest.fixture
def run(tmp_path, tiny, prompts, spec_of, settings_of):
    """A run on the prompts by a reward of this module; its folder and its checkpoint."""

    def trained(reward: str, name: str = "run", **changes):
        sampling = changes.pop("sampling", SHORT)
        online = {
            "sampling": sampling,
            "reward": f"{HERE}:{reward}",
            "train_cut": changes.pop("train_cut", True),
        }
        values = {
            "estimator": "online",
            "group_size": 4,
            "epochs": 1,
            "eval_every": 1,
            "beta": 0.0,
            "online": online,
        }
        rest = {"adapter": changes.pop("adapter")} if "adapter" in changes else {}
        spec = spec_of(tiny, prompts, tmp_path / name, settings_of["grpo"](**(values | changes)), **rest)
        return tmp_path / name, train_here(spec)

    return trained


def looks(folder: Path):
    return [line for line in read_progress(folder) if line.phase == "eval"]


def test_a_look_that_measured_nothing_is_no_candidate(run):
    """Nothing held out has a score at first, and the looks say so; the first real figure is the best so far."""
    SEEN.clear()
    folder, tuned = run("later", learning_rate=1e-12, max_steps=2)
    first, second, third = looks(folder)
    assert "negative_reward" not in first.metrics | second.metrics
    assert first.metrics["unanswered"] == second.metrics["unanswered"] == 1
    assert "step 1 measured nothing" in second.said
    assert (third.metrics["unanswered"], third.said) == (0, "")
    assert tuned.notes["best_step"] == 2
    assert tuned.metrics["reward"] == third.metrics["reward"]


def test_a_run_without_any_look_keeps_its_start_and_says_why(run):
    """Not its newest step: nothing says that it is better."""
    folder, tuned = run("never", max_steps=2)
    assert tuned.notes["kept_start"]
    assert any("no look had a usable answer" in sentence for sentence in tuned.notes["said"])
    assert json.loads(next((folder / "best").glob("*/best.json")).read_text())["value"] == float("inf")


def test_a_run_of_equal_rewards_says_that_nothing_was_taught(run):
    """It ends, and one sentence says what to look at."""
    _, tuned = run("same", max_steps=2)
    assert any(
        "no draw of the whole run taught anything: in all 2 steps" in said for said in tuned.notes["said"]
    )
    assert tuned.notes["kept_start"]


@pytest.mark.parametrize(
    ("reward", "train_cut", "words"),
    [("nobody", True, "100% had no score"), ("length", False, "100% were cut at max_tokens")],
)
def test_a_run_without_one_usable_completion_is_an_error(run, reward, train_cut, words):
    """All cut, or none with a score: PPO ends so at once, GRPO when not one draw of the run was better."""
    with pytest.raises(TrainingError, match=f"no completion of the whole run can be trained on: .*{words}"):
        run(reward, train_cut=train_cut, max_steps=2, sampling=SHORT | {"json_schema": {"enum": ["long"]}})


def test_what_ended_a_text_is_not_scored(run):
    """Completions that end at a letter or a digit: rewards see what comes before it, nothing of it, nothing after it."""
    SPOKEN.clear()
    folder, _ = run("spoken", sampling={"max_tokens": 24, "stop": STOPS}, max_steps=1, train_cut=False)
    (line,) = [line for line in read_progress(folder) if line.phase == "train"]
    assert line.metrics["cut"] < 0.7
    assert len(set(SPOKEN)) > 4
    assert not any(stop in text for text in SPOKEN for stop in STOPS)


@pytest.mark.parametrize("loss_type", ["sequence", "token"])
def test_passes_do_not_change_a_steps_mean(run, loss_type):
    """Eight prompts in one pass or four, completions of unequal length, some without a score: one loss, one gradient.

    The step's own figures of the draws are the same too.
    """
    found = {}
    for passes in (1, 4):
        folder, _ = run(
            "often",
            str(passes),
            sampling={"max_tokens": 24, "stop": STOPS},
            loss_type=loss_type,
            batch_size=8,
            gradient_accumulation_steps=passes,
            max_steps=2,
            learning_rate=1e-1,
            num_iterations=2,
            adapter=AdapterSettings(r=4),
        )
        found[passes] = [line.metrics for line in read_progress(folder) if line.phase == "train"]
    assert len(found[1]) == 2
    for whole, parts in zip(found[1], found[4], strict=True):
        for name in ("loss", "grad_norm", "cut", "unscored", "length", "equal_rewards"):
            assert parts[name] == pytest.approx(whole[name], rel=1e-3, abs=1e-6), name
        assert 0 < whole["unscored"] < 1
    assert abs(found[1][1]["loss"]) > 1e-3
