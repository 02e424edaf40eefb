"""A run that meets a wall goes back to its last good checkpoint, says so, and takes another course."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.dataset import read_rows, write_snapshot
from core.errors import DivergedError
from core.training.checkpoints import drop_best, keep_best, read_best
from core.training.config import AdapterSettings
from core.training.launch import train
from core.training.progress import append_progress, read_progress
from core.training.rollback import Rollback, Wall, distrust, read_rollbacks, roll_back, slowed
from core.training.worker import train_here


def checkpoints(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / "checkpoints" / name).mkdir(parents=True)
        (folder / "checkpoints" / name / "complete.json").write_text("{}")
    return folder / "checkpoints"


def test_the_checkpoint_right_before_a_wall_is_no_good(tmp_path):
    """A wall at step 7 was measured on the weights of step 6: the run goes back to step 3, then to its start."""
    found = checkpoints(tmp_path, "start", "checkpoint-3", "checkpoint-6")
    first = roll_back(tmp_path, found, Wall(7, "too far", kl=True))
    second = roll_back(tmp_path, found, Wall(4, "too far", kl=True))
    assert (first.to, second.to) == (3, 0)
    assert read_rollbacks(tmp_path) == (first, second)
    assert first.said == "went back from step 7 to step 3 and on with half the learning rate: too far"
    assert roll_back(tmp_path, found, Wall(1, "no number")) is None
    assert read_rollbacks(tmp_path) == (first, second)


def test_the_learning_rate_is_halved_from_the_step_that_a_run_went_back_to():
    """Twice to step 3 and once to step 5: whole before 3, then a quarter, then an eighth."""
    rollbacks = [Rollback(wall=9, to=to, reason="") for to in (3, 5, 3)]
    factor = slowed(lambda step: 1.0, rollbacks)
    assert [factor(step) for step in range(7)] == [1.0, 1.0, 1.0, 0.25, 0.25, 0.125, 0.125]


def test_the_steps_of_a_course_that_was_given_up_are_not_shown(tmp_path):
    """Of steps 1 to 4 the run went back to 2 and took 3 again; the look at 4 stays."""
    for step in range(1, 5):
        append_progress(tmp_path, "train", step, 9, metrics={"loss": 1.0})
    append_progress(tmp_path, "eval", 4, 9, metrics={"loss": 1.0})
    append_progress(tmp_path, "rollback", 2, 9, said="went back")
    append_progress(tmp_path, "train", 3, 9, metrics={"loss": 0.5})
    lines = read_progress(tmp_path)
    assert [(line.step, line.metrics["loss"]) for line in lines if line.phase == "train"] == [
        (1, 1.0),
        (2, 1.0),
        (3, 0.5),
    ]
    assert [line.step for line in lines if line.phase == "eval"] == [4]


def test_a_kl_above_the_limit_goes_back_and_the_second_course_stays_below(
    tmp_path, tiny, choices, spec_of, settings_of
):
    """In a process of its own: the rate is halved from where it went back to, the run ends, and both places say so."""
    settings = settings_of["grpo"](
        learning_rate=0.04, scheduler="constant", beta=0.0, save_every=1, max_kl=0.034, max_steps=4
    )
    tuned = train(spec_of(tiny, choices, tmp_path / "run", settings))
    (made,) = read_rollbacks(tmp_path / "run")
    assert made.to < made.wall - 1
    assert "above max_kl 0.034" in made.said
    assert made.said in tuned.notes["said"]
    assert not tuned.notes["stopped"]
    lines = read_progress(tmp_path / "run")
    assert [line.said for line in lines if line.phase == "rollback"] == [made.said]
    rates = {line.step: line.metrics["learning_rate"] for line in lines if line.phase == "train"}
    assert rates == {step: 0.04 if step <= made.to else 0.02 for step in range(1, 5)}


def published(folder: Path, step: int, value: float, course: int = 0) -> None:
    keep_best(folder, step, value, {}, lambda stage: (stage / "weights").write_text(str(step)), course=course)


def test_the_best_that_a_wall_was_measured_on_gives_way_to_the_one_before(tmp_path):
    """Of this course only: an earlier course's best was measured by a step that it took."""
    for step, value in ((0, 0.9), (3, 0.7), (6, 0.5)):
        published(tmp_path, step, value)
    assert len(list((tmp_path / "best").iterdir())) == 2
    drop_best(tmp_path, 6, course=1)
    assert read_best(tmp_path).step == 6
    distrust(tmp_path, Wall(7, "too far", kl=True))
    assert read_best(tmp_path).step == 3
    drop_best(tmp_path, 0, course=0)
    published(tmp_path, 0, 0.9)
    distrust(tmp_path, Wall(1, "no number"))
    assert read_best(tmp_path).step == 0


@pytest.mark.parametrize("max_rollbacks", [0, 1])
def test_weights_that_broke_the_limit_are_never_published(  # noqa: PLR0917
    tmp_path, tiny, choices, spec_of, settings_of, max_rollbacks
):
    """With nothing held out the newest weights are the best: those of the step before the one that met the wall."""
    rows = [row for row in read_rows(choices) if row["split"] == "train"]
    snapshot = write_snapshot(tmp_path / "rows", "choices", rows)
    settings = settings_of["grpo"](
        learning_rate=0.04,
        scheduler="constant",
        beta=0.0,
        save_every=1,
        eval_every=1,
        max_kl=0.02,
        epochs=9,
        max_rollbacks=max_rollbacks,
    )
    adapter = AdapterSettings(r=8)
    tuned = train_here(spec_of(tiny, snapshot, tmp_path / "run", settings, adapter=adapter))
    wall = int(re.search(r"^stopped at step (\d+)", tuned.notes["stopped"])[1])
    kls = {
        line.step: line.metrics["kl"]
        for line in read_progress(tmp_path / "run")
        if line.phase == "train" and line.step <= wall
    }
    assert kls[wall] > 0.02
    assert 0 < tuned.notes["best_step"] == wall - 2
    assert kls[wall - 1] <= 0.02


def test_a_look_that_finds_weights_beyond_the_limit_makes_them_no_best(
    tmp_path, tiny, choices, spec_of, settings_of
):
    """The last step is measured by no other: its look alone can say that it went too far."""
    settings = settings_of["grpo"](
        learning_rate=0.02, scheduler="constant", beta=0.0, max_kl=0.01, max_steps=1, seed=1
    )
    adapter = AdapterSettings(r=8)
    kept = train_here(spec_of(tiny, choices, tmp_path / "run", settings, adapter=adapter))
    last = next(
        line.metrics for line in read_progress(tmp_path / "run") if (line.phase, line.step) == ("eval", 1)
    )
    assert last["kl"] > 0.01
    assert last["regret_greedy"] < kept.metrics["regret_greedy"]
    assert kept.notes["best_step"] == 0


@pytest.fixture
def poisoned(tmp_path, tiny, choices):
    """A model for which '~' is no number, and rows of which one holds it."""
    tokenizer, model = AutoTokenizer.from_pretrained(tiny), AutoModelForCausalLM.from_pretrained(tiny)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        model.model.embed_tokens.weight[tokenizer.convert_tokens_to_ids("~")] = float("nan")
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows = list(read_rows(choices))
    rows[5]["prompt"] = f"~{rows[5]['prompt']}"
    return tmp_path / "model", write_snapshot(tmp_path / "rows", "choices", rows)


def test_a_poisoned_batch_ends_the_run_with_the_best_so_far(tmp_path, poisoned, spec_of, settings_of):
    """Half the rate is no cure for a batch that is no number: after two rollbacks the best before it is kept."""
    model, rows = poisoned
    settings = settings_of["sft"](eval_every=1, save_every=1, epochs=1)
    tuned = train(spec_of(model, rows, tmp_path / "run", settings))
    made = read_rollbacks(tmp_path / "run")
    assert [rollback.wall for rollback in made] == [made[0].wall] * 2
    assert f"the loss became nan at step {made[0].wall}" in made[0].said
    assert tuned.notes["stopped"].startswith(f"stopped at step {made[0].wall}, after 2 rollbacks: the loss")
    assert 0 < tuned.notes["best_step"] < made[0].wall - 1
    assert json.dumps(tuned.metrics).find("NaN") == -1


def test_without_anything_better_than_the_start_no_number_is_an_error(
    tmp_path, poisoned, spec_of, settings_of
):
    """A learning rate of nearly nothing makes nothing better: DivergedError, after the rollbacks that are allowed."""
    model, rows = poisoned
    settings = settings_of["sft"](learning_rate=1e-12, epochs=1, max_rollbacks=1)
    with pytest.raises(DivergedError, match=r"loss became nan at step \d of sft .* after 1 rollbacks: lower"):
        train_here(spec_of(model, rows, tmp_path / "run", settings))
