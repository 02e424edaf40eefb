"""A training run that is killed and goes on, beside one that nothing interrupted: their weights, byte for byte."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from core.config import ROOT
from core.dataset import Snapshot, write_snapshot
from core.language.testing import tiny_language_model
from core.training.config import AdapterSettings, GrpoSettings
from core.training.launch import train
from core.training.progress import read_progress
from core.training.spec import TrainingSpec

LETTERS = (" A", " B", " C", " D")
SAVE_EVERY, LOST, STEPS = 4, 2, 12
"""The run is killed when it has done some steps more than it saved; they are lost and done again."""
PATIENCE_SECONDS = 600.0


def bytes_apart(folder: Path, *, quick: bool) -> Figure:
    """How many bytes of the adapter differ; the whole run and both halves of the other are processes of their own.

    The adapter drops out inputs and the answers are drawn, so the random state has to come back too.
    """
    model = str(tiny_language_model(folder / "model")) if quick else "smollm2-135m"
    rows = write_snapshot(folder / "rows", "choices", _rows())
    os.environ["OMP_NUM_THREADS"] = "1"  # sums in another order round otherwise
    whole = train(_spec(model, rows, folder / "whole"))
    spec = _spec(model, rows, folder / "killed")
    at = _kill(spec)
    resumed = train(spec)
    differing = sum(a != b for a, b in zip_longest(_weights(whole.path), _weights(resumed.path)))
    told = f"a run of {STEPS} steps without interruption; killed by SIGKILL after step {at}, saved every {SAVE_EVERY} steps"
    name = f"killed: differing bytes of the adapter after a killed and resumed run, {'a tiny model' if quick else 'SmolLM2-135M'}, fp32"
    return Figure(name, differing, "bytes", 0, told, at_most=True)


def _rows() -> Iterator[dict[str, Any]]:
    stream = random.Random(0)
    for number in range(2 * STEPS):
        shown = [stream.randrange(10) for _ in LETTERS]
        lines = "".join(f"{letter.strip()} {value}\n" for letter, value in zip(LETTERS, shown, strict=True))
        yield {
            "id": str(number),
            "prompt": f"{lines}Pick:",
            "completions": LETTERS,
            "rewards": [value + stream.random() for value in shown],
        }


def _spec(model: str, rows: Snapshot, folder: Path) -> TrainingSpec:
    settings = GrpoSettings(
        estimator="sampled",
        learning_rate=1e-3,
        batch_size=2,
        max_steps=STEPS,
        save_every=SAVE_EVERY,
        eval_every=STEPS,
        dtype="fp32",
    )
    adapter = AdapterSettings(dropout=0.1)
    return TrainingSpec(model=model, settings=settings, adapter=adapter, snapshot=rows, folder=str(folder))


def _kill(spec: TrainingSpec) -> int:
    """Start a worker and end it with SIGKILL between two checkpoints; the last step it told of."""
    folder = Path(spec.folder)
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(spec.model_dump_json(), encoding="utf-8")
    end = time.monotonic() + PATIENCE_SECONDS
    command = [sys.executable, "-m", "core.training.worker", str(folder / "spec.json")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as child:
        while _step(folder) < SAVE_EVERY + LOST:
            if child.poll() is not None or time.monotonic() > end:
                child.kill()
                raise RuntimeError(f"the worker in {folder} ended, or waited, before it could be killed")
            time.sleep(0.001)
        child.kill()
    if spec.result.exists():
        raise RuntimeError(f"the worker in {folder} was done before it could be killed")
    return _step(folder)


def _step(folder: Path) -> int:
    return max((line.step for line in read_progress(folder) if line.phase == "train"), default=0)


def _weights(folder: str) -> bytes:
    return (Path(folder) / "adapter_model.safetensors").read_bytes()
