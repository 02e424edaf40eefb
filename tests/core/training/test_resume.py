"""Runs that are killed, at any moment and again, and runs that go back: real processes, equal bits at the end."""

import json
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.errors import ModelError
from core.training.checkpoints import drop_best, is_whole, keep_best, latest_checkpoint, read_best, seal
from core.training.progress import read_progress
from core.training.rollback import read_rollbacks
from core.training.worker import train_here

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["core.training.worker", "core.training.backends.group"])


def weights(folder: str | Path) -> dict[str, bytes]:
    """The bytes of every tensor in a folder, a value head's too."""
    return {
        name: tensor.numpy().tobytes()
        for file in Path(folder).glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def epochs(folder: str | Path) -> dict[str, dict[str, bytes]]:
    """The weights that were kept of each epoch."""
    return {path.name: weights(path) for path in Path(folder).glob("epoch-*")}


def losses(folder: Path) -> dict[int, float]:
    return {line.step: line.metrics["loss"] for line in read_progress(folder) if line.phase == "train"}


def kill_when(spec, moment: Callable[[], bool], after: float = 0.0) -> None:
    """Start a training process, and end it with SIGKILL at a moment or a few milliseconds after it."""
    child = CHILDREN.Process(target=train_here, args=(spec,))
    child.start()
    while child.is_alive() and not moment():
        time.sleep(0.001)
    time.sleep(after)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL, "it ended before it was killed"


def kill_at(spec, lines: int, after: float = 0.0) -> None:
    """The moment is when it has told so many lines more."""
    progress = Path(spec.folder) / "progress.jsonl"
    told = progress.read_bytes().count(b"\n") if progress.is_file() else 0
    kill_when(spec, lambda: progress.is_file() and progress.read_bytes().count(b"\n") >= told + lines, after)


def finish(spec) -> None:
    child = CHILDREN.Process(target=train_here, args=(spec,))
    child.start()
    child.join()
    assert child.exitcode == 0


CHANGES = {
    "sft": {"gradient_accumulation_steps": 2},
    "grpo": {"estimator": "sampled", "num_iterations": 2, "save_every": 2, "beta": 0.0},
    "dpo": {"gradient_accumulation_steps": 2},
    "kto": {"gradient_checkpointing": True},
    "ppo": {"value_learning_rate": 1e-2},
}


@pytest.mark.parametrize("method", list(CHANGES))
def test_a_run_killed_at_any_moment_and_again_ends_with_the_same_weights(  # noqa: PLR0917
    tmp_path, tiny, choices, sessions, spec_of, settings_of, method
):
    """SIGKILL three times at moments drawn by chance: losses, adapter (and value head) and those of each epoch are the
    uninterrupted run's.

    The adapter drops out inputs, so the random state has to come back too.
    """
    rows = sessions if method == "ppo" else choices
    plan = {"epochs": 9, "max_steps": 14, "save_every": 3, "save_each_epoch": True}
    settings = settings_of[method](**(plan | CHANGES[method]))
    whole, killed = (spec_of(tiny, rows, tmp_path / name, settings) for name in ("whole", "killed"))
    finish(whole)
    moments = random.Random(method)
    for _ in range(3):
        kill_at(killed, moments.randrange(1, 7), moments.random() * 0.05)
    finish(killed)
    assert losses(Path(whole.folder)) == losses(Path(killed.folder))
    assert weights(Path(whole.folder) / "adapter") == weights(Path(killed.folder) / "adapter")
    assert epochs(whole.folder) == epochs(killed.folder) != {}


@pytest.mark.parametrize(
    "cut", ["a file is missing", "a file is short", "the seal is missing", "the seal is short"]
)
def test_a_checkpoint_cut_short_is_never_used(tmp_path, tiny, choices, spec_of, settings_of, cut):  # noqa: PLR0917
    """However the newest one is broken, it is removed and the one before it, or the start, is taken: equal bits."""
    settings = settings_of["sft"](epochs=9, max_steps=20, save_every=3)
    whole, killed = (spec_of(tiny, choices, tmp_path / name, settings) for name in ("whole", "killed"))
    newest = Path(killed.folder) / "checkpoints" / "checkpoint-6"
    kill_when(killed, (newest / "complete.json").exists)
    file = newest / ("complete.json" if "seal" in cut else "optimizer.pt")
    if "missing" in cut:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    assert latest_checkpoint(newest.parent).name == "checkpoint-3"
    assert not newest.exists()
    train_here(whole)
    train_here(killed)
    assert weights(Path(whole.folder) / "adapter") == weights(Path(killed.folder) / "adapter")


def test_a_run_that_went_back_and_was_killed_takes_the_same_course(
    tmp_path, tiny, choices, spec_of, settings_of
):
    """SIGKILL before and after it goes back, and again: equal bits of the same step, and the same rollbacks."""
    settings = settings_of["grpo"](
        learning_rate=0.04,
        scheduler="constant",
        beta=0.0,
        save_every=1,
        eval_every=1,
        max_kl=0.034,
        epochs=9,
        max_steps=12,
        save_each_epoch=True,
    )
    whole, killed = (spec_of(tiny, choices, tmp_path / name, settings) for name in ("whole", "killed"))
    finish(whole)
    made = read_rollbacks(tmp_path / "whole")
    assert made
    kill_at(killed, 5)
    kill_when(killed, (tmp_path / "killed" / "rollbacks.json").exists)
    kill_at(killed, 5, 0.003)
    finish(killed)
    assert read_rollbacks(tmp_path / "killed") == made
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed")
    assert epochs(tmp_path / "whole") == epochs(tmp_path / "killed") != {}
    assert weights(tmp_path / "whole" / "adapter") == weights(tmp_path / "killed" / "adapter")


def test_a_seal_names_every_file(tmp_path):
    """A folder that never got its seal, or holds less than the seal says, does not count; one with more files does."""
    (tmp_path / "weights").write_bytes(b"1")
    assert not is_whole(tmp_path)
    seal(tmp_path)
    assert is_whole(tmp_path)
    (tmp_path / "more").write_bytes(b"2")
    assert is_whole(tmp_path)
    (tmp_path / "weights").unlink()
    assert not is_whole(tmp_path)


def test_of_two_best_checkpoints_the_better_counts(tmp_path):
    """A run that went back may publish an earlier step than the one it beats; a part of either is an error."""
    for name, step, value in (("step-000004-1", 4, 0.1), ("step-000008-0", 8, 0.2)):
        (tmp_path / "best" / name).mkdir(parents=True)
        (tmp_path / "best" / name / "best.json").write_text(
            json.dumps({"step": step, "value": value, "metrics": {}})
        )
        seal(tmp_path / "best" / name)
    assert read_best(tmp_path).step == 4
    (tmp_path / "best" / "step-000008-0" / "best.json").unlink()
    with pytest.raises(ModelError, match=r"step-000008-0 was cut short or changed: delete"):
        read_best(tmp_path)


def test_what_a_kill_leaves_of_a_beaten_checkpoint_does_not_count(tmp_path, monkeypatch):
    """It is moved aside before its files go, one after another."""

    def killed(path: Path, **_) -> None:
        for file in Path(path).glob("*.json"):
            file.unlink()
            raise KeyboardInterrupt

    for step in range(2):
        keep_best(tmp_path, step, 1.0 - step, {}, lambda _: None)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            drop_best(tmp_path, 1, course=0)
    assert read_best(tmp_path).step == 0
    keep_best(tmp_path, 1, 0.0, {}, lambda _: None)
    drop_best(tmp_path, 1, course=0)
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["step-000000-0"]
