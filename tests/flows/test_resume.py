"""A run killed with SIGKILL and triggered again goes on where it stopped: real processes, real signals."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.config import ROOT
from core.training.progress import parse_progress

pytestmark = pytest.mark.slow
FLOW = """
import json, sys
from flows.train import train
state = train("fantasy_draft", "grpo", "demo", json.loads(sys.argv[1]), return_state=True)
print("RUN", state.state_details.flow_run_id, state.type.value)
"""
PATIENCE = 120


@pytest.fixture
def long(small):
    """SFT and GRPO of so many steps that a kill falls between them, with a checkpoint every two."""
    return small | {
        "sft.epochs": 100,
        "sft.max_steps": 60,
        "sft.save_every": 2,
        "sft.eval_every": 1000,
        "sft.eval_groups": 2,
        "grpo.epochs": 100,
        "grpo.batch_size": 4,
        "grpo.max_steps": 60,
        "grpo.save_every": 2,
        "grpo.eval_every": 1000,
        "grpo.eval_groups": 2,
        "grpo.max_kl": None,
        "reward.boards": 1,
    }


def start(overrides, server) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FLOW, json.dumps(overrides)],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def kill_in(stage, flow, home) -> tuple[Path, int]:
    """Kill the flow's process with SIGKILL once the stage has a whole checkpoint; its folder, and the lines by then."""
    end = time.monotonic() + PATIENCE
    while not (found := list(home.glob(f"stages/{stage}/*/checkpoints/checkpoint-*/complete.json"))):
        assert flow.poll() is None, "the flow ended before it could be killed"
        assert time.monotonic() < end, f"no checkpoint in {stage}"
        time.sleep(0.002)
    flow.kill()
    flow.wait()
    folder = found[0].parents[2]
    wait_until_quiet(folder)
    assert not (folder / "trained.json").exists()
    return folder, len((folder / "progress.jsonl").read_text().splitlines())


def wait_until_quiet(folder):
    """The training process dies with its parent, a second later at most."""
    size, since = -1, time.monotonic()
    while time.monotonic() - since < 1.5:
        if (now := (folder / "progress.jsonl").stat().st_size) != size:
            size, since = now, time.monotonic()
        time.sleep(0.05)


def trained_steps(folder, first_line=0) -> list[int]:
    lines = (folder / "progress.jsonl").read_text().splitlines()[first_line:]
    return [at.step for line in lines if (at := parse_progress(line)) and at.phase == "train"]


def test_a_run_killed_in_sft_and_again_in_grpo_is_finished_by_the_third(
    home, database, prefect_server, long, states
):
    """No finished stage is done again, and no training begins at its first step a second time."""
    flow = start(long, prefect_server)
    sft, sft_lines = kill_in("train-sft", flow, home)
    done = {name: stamp(home, name) for name in ("collect", "reward", "snapshot-sft")}

    flow = start(long, prefect_server)
    grpo, grpo_lines = kill_in("train-grpo", flow, home)
    went_on = trained_steps(sft, sft_lines)
    assert went_on[0] > 1
    assert went_on[-1] == 60
    assert sorted({*trained_steps(sft)}) == list(range(1, 61))
    done["train-sft"] = stamp(home, "train-sft")

    flow = start(long, prefect_server)
    said, _ = flow.communicate(timeout=PATIENCE)
    _, run_id, ending = said.split()[-3:]
    assert ending == "COMPLETED"
    went_on = trained_steps(grpo, grpo_lines)
    assert went_on[0] > 1
    assert went_on[-1] == 60

    assert {name: stamp(home, name) for name in done} == done
    assert {name: state for name, state in states(run_id, *done).items() if name in done} == dict.fromkeys(
        done, "Cached"
    )
    assert (home / "runs" / run_id / "report.md").is_file()


def stamp(home, stage) -> int:
    """When a stage was finished, to the nanosecond: done again, it would be later."""
    (result,) = home.glob(f"stages/{stage}/*/result.json")
    return result.stat().st_mtime_ns
