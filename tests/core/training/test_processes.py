"""Several processes that train as one: real processes on parts of the CPU, over gloo."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from core.config import ROOT
from core.dataset import read_rows, write_snapshot
from core.errors import InterruptedTraining, ModelError
from core.training.config import AdapterSettings
from core.training.launch import train
from core.training.progress import read_progress
from core.training.ranks import join
from core.training.schedule import GroupOrder, MicroBatches
from core.training.worker import train_here

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["core.training.worker", "core.training.backends.group"])


def train_as(rank: int, processes: int, meeting: Path, spec) -> None:
    join(rank, processes, meeting)
    train_here(spec)


def start(spec, meeting: Path) -> list[multiprocessing.Process]:
    children = [
        CHILDREN.Process(target=train_as, args=(rank, spec.settings.processes, meeting, spec))
        for rank in range(spec.settings.processes)
    ]
    for child in children:
        child.start()
    return children


def train_together(spec, meeting: Path) -> None:
    children = start(spec, meeting)
    end = time.monotonic() + 90
    while any(child.is_alive() for child in children) and time.monotonic() < end:
        if any(child.exitcode for child in children):
            break  # the others wait for it
        time.sleep(0.01)
    for child in children:
        child.kill()
        child.join()
    assert [child.exitcode for child in children] == [0] * len(children)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        name: tensor
        for file in sorted((folder / "adapter").glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def curve(folder: Path, name: str) -> list[float]:
    return [line.metrics[name] for line in read_progress(folder) if line.phase == "train"]


def test_processes_share_every_group_of_a_step(settings_of):
    """Nine groups in steps of four: two processes have the halves, and the second has nothing of the last step."""
    settings = settings_of["sft"](epochs=1, gradient_accumulation_steps=2, processes=2)
    order = GroupOrder(9, settings)
    first, second = (MicroBatches(order, settings, rank, 2) for rank in (0, 1))
    assert [len(one) for one in first] == [1, 1, 1, 1, 1]
    places = list(order)
    assert [place for one in first for place in one] == places[::2]
    assert [place for one in second for place in one] == [*places[1:8:2], places[8]]
    assert [second.idle(step) for step in range(3)] == [False, False, True]
    assert list(MicroBatches(order, settings)) == [
        places[0:2],
        places[2:4],
        places[4:6],
        places[6:8],
        places[8:],
    ]


CASES = {
    "sft": {},
    "grpo": {"estimator": "logged", "loss_type": "token", "advantage_scale": "std"},
    "dpo": {"gradient_accumulation_steps": 2, "min_difference": 0.05},
    "ppo": {"value_learning_rate": 1e-2, "epochs": 1},
}


@pytest.mark.parametrize("method", list(CASES))
def test_two_processes_give_the_losses_and_the_weights_of_one(  # noqa: PLR0917
    tmp_path, tiny, choices, sessions, spec_of, settings_of, method
):
    """Nine groups of unequal size in steps of four, so that the second process has nothing of the last step.

    Weights (a value head's too), losses, gradient norms and the held-out figures agree to rounding.
    """
    rows = [row for row in read_rows(sessions if method == "ppo" else choices) if row["split"] == "train"][:9]
    for place, row in enumerate(rows):
        if method == "sft":
            row |= {"completions": [" A" * (1 + place)], "weights": [1.0], "rewards": []}
        elif method != "ppo":
            row |= {
                "completions": row["completions"][: 2 + place % 3],
                "weights": [],
                "rewards": row["rewards"][: 2 + place % 3],
            }
            row["completions"] = [text * (1 + place % 4) for text in row["completions"]]
    held_out = [row | {"id": f"held-{row['id']}", "split": "test"} for row in rows[:3]]
    snapshot = write_snapshot(tmp_path / "rows", method, rows + held_out)
    specs = {
        processes: spec_of(
            tiny,
            snapshot,
            tmp_path / str(processes),
            settings_of[method](**({"epochs": 2, "processes": processes} | CASES[method])),
            adapter=AdapterSettings(r=4),
        )
        for processes in (1, 2)
    }
    train_here(specs[1])
    train_together(specs[2], tmp_path / "meeting")
    for name in ("loss", "grad_norm"):
        assert curve(tmp_path / "2", name) == pytest.approx(curve(tmp_path / "1", name), rel=1e-3, abs=1e-5)
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert one.keys() == two.keys()
    assert any("value_head" in name or "linear" in name for name in one) == (method == "ppo")
    moved = torch.cat([tensor.flatten() for tensor in one.values()])
    difference = torch.cat([tensor.flatten() for tensor in two.values()]) - moved
    assert difference.norm() < 1e-3 * moved.norm()


def test_two_processes_killed_and_started_again_end_with_the_same_weights(
    tmp_path, tiny, choices, spec_of, settings_of
):
    """Every process has its own random state in the checkpoint: equal bits, dropout and all; progress comes once."""
    settings = settings_of["sft"](processes=2, epochs=9, max_steps=16)
    whole, killed = (spec_of(tiny, choices, tmp_path / name, settings) for name in ("whole", "killed"))
    train_together(whole, tmp_path / "first")
    children = start(killed, tmp_path / "second")
    seal = tmp_path / "killed" / "checkpoints" / "checkpoint-6" / "complete.json"
    while not seal.exists():
        assert all(child.is_alive() for child in children)
        time.sleep(0.001)
    for child in children:
        child.kill()
        child.join()
    train_together(killed, tmp_path / "third")
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(one[name], two[name]) for name in one)
    lines = (tmp_path / "whole" / "progress.jsonl").read_text().count('"phase":"train"')
    assert lines == 16


def test_two_processes_go_back_together(tmp_path, tiny, choices, spec_of, settings_of):
    """A KL above the limit on the whole batch: one rollback, which both of them take."""
    settings = settings_of["grpo"](
        learning_rate=0.04,
        scheduler="constant",
        beta=0.0,
        save_every=1,
        max_kl=0.034,
        max_steps=4,
        processes=2,
    )
    spec = spec_of(tiny, choices, tmp_path / "run", settings, adapter=AdapterSettings(r=8))
    train_together(spec, tmp_path / "meeting")
    assert sum(line.phase == "rollback" for line in read_progress(tmp_path / "run")) == 1


def test_an_error_of_several_processes_comes_back_once(tmp_path, tiny, choices, spec_of, settings_of):
    """Started by their parent as in a run: both find the same mistake, and one clear line is raised."""
    spec = spec_of(
        tiny,
        choices,
        tmp_path / "run",
        settings_of["sft"](processes=2),
        adapter=AdapterSettings(top_layers=9),
    )
    with pytest.raises(ModelError, match=r"top_layers 9 is more than the 2 of"):
        train(spec)


@pytest.mark.slow
def test_one_process_that_dies_ends_the_others(tmp_path, tiny, choices, spec_of, settings_of):
    """SIGKILL for the second of two: an interrupted run, and nothing of it is left; SIGKILL for the parent: the same."""
    settings = settings_of["sft"](processes=2, epochs=5000, save_every=100_000)
    spec = spec_of(tiny, choices, tmp_path / "run", settings)
    (tmp_path / "run" / "spec.json").write_text(spec.model_dump_json())
    code = (
        "import sys\nfrom core.training.launch import train\nfrom core.training.spec import TrainingSpec\n"
        "train(TrainingSpec.model_validate_json(open(sys.argv[1]).read()))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run" / "spec.json")], cwd=ROOT)
    wait_for(lambda: any(line.phase == "train" for line in read_progress(tmp_path / "run")))
    workers = psutil.Process(parent.pid).children()
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(worker.is_running() for worker in workers))

    killed: list[int] = []

    def kill_second(at) -> None:
        if at.phase != "train" or killed:
            return
        for child in psutil.Process(os.getpid()).children():
            command = [] if child.status() == psutil.STATUS_ZOMBIE else child.cmdline()
            if "--rank" in command and command[command.index("--rank") + 1] == "1":
                killed.append(child.pid)
                child.send_signal(signal.SIGKILL)

    with pytest.raises(InterruptedTraining, match="SIGKILL"):
        train(spec, kill_second)
    assert len(killed) == 1


def wait_for(condition, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
