"""The process that trains: `python -m core.training.worker FOLDER/spec.json`.

It reads one `TrainingSpec`, appends to `progress.jsonl`, and ends with `adapter/` and `trained.json`, or with
`error.json` and exit status 1. Killed at any moment and started again, it goes on from its last checkpoint.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from transformers import set_seed

from core.checkpoint import Checkpoint, weights_digest
from core.errors import ModelError, OvernightError
from core.files import storage_error, write_json
from core.language.config import model_config
from core.language.dtype import choose_dtype
from core.language.model import UNTRAINED, load_model, pick_device
from core.language.sharing import Sharing, sharing
from core.training.adapter import trainable_model
from core.training.checkpoints import publish
from core.training.data import GroupData, load_groups
from core.training.methods import method_of
from core.training.progress import Phase, append_progress, read_progress
from core.training.reference import with_reference
from core.training.spec import TrainingSpec
from core.training.trainer import GroupTrainer

EXIT_ORPHAN = 3


def main() -> int:
    """Train what the spec says; the parent reads files, not this process's output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="end when this process ends")
    arguments = parser.parse_args()
    _die_with(arguments.parent)
    spec = TrainingSpec.model_validate_json(arguments.spec.read_text(encoding="utf-8"))
    try:
        train_here(spec)
    except OvernightError as error:
        return _fail(spec, error)
    except OSError as error:
        return _fail(spec, storage_error(Path(spec.folder), error))
    return 0


def train_here(spec: TrainingSpec) -> Checkpoint:
    """Run one training stage in this process and publish its checkpoint. Raises: OvernightError."""
    started, folder, device = time.perf_counter(), Path(spec.folder), pick_device()
    config = model_config(spec.model)
    append_progress(folder, "loading", 0, 0)
    chosen = choose_dtype(config, spec.settings.dtype, device)
    loaded = load_model(config, chosen.dtype, device)
    data = load_groups(spec.snapshot, loaded.tokenizer, spec.settings, loaded.context_length)
    way = sharing(loaded.model.config, data.longest)
    set_seed(spec.settings.seed)
    model = trainable_model(loaded.model, config, spec.adapter, spec.start)
    method = method_of(spec.settings)
    if method.needs_reference:
        append_progress(folder, "reference", 0, 0)
        start = spec.start.sha256 if spec.start else UNTRAINED
        data = with_reference(model, data, folder / "reference.safetensors", start)
    trainer = GroupTrainer(
        model,
        method=method,
        settings=spec.settings,
        train=data.train,
        held_out=data.held_out,
        folder=folder,
        log=partial(_write, folder),
    )
    trainer.run()
    return _publish(spec, trainer, chosen.dtype, _said(chosen.reason, way, data, trainer), started)


def _publish(
    spec: TrainingSpec, trainer: GroupTrainer, dtype: str, said: tuple[str, ...], started: float
) -> Checkpoint:
    """Put the best adapter where it is looked for, then write its record: the sign that training is done."""
    folder, best = Path(spec.folder), trainer.best
    if best is None:  # run() looked at the starting weights first
        raise ModelError(f"{folder} holds no checkpoint: delete it and train again")
    target = folder / "adapter"
    public_name = model_config(spec.model).public_name
    publish(target, lambda stage: _copy_adapter(best.folder, stage, public_name))
    start_figures = next((line.metrics for line in read_progress(folder) if line.phase == "eval"), {})
    checkpoint = Checkpoint(
        kind="adapter",
        path=str(target),
        sha256=weights_digest(target),
        base_model=spec.model,
        method=spec.settings.method,
        parents=(spec.snapshot.sha256, *((spec.start.sha256,) if spec.start else ())),
        metrics=best.metrics | {f"start_{name}": value for name, value in start_figures.items()},
        notes={
            "said": list(said),
            "dtype": dtype,
            "best_step": best.step,
            "total_steps": trainer.total_steps,
            "stopped": trainer.stopped,
            "seconds": round(time.perf_counter() - started, 1),
        },
    )
    write_json(spec.result, checkpoint.model_dump())
    append_progress(
        folder, "done", trainer.total_steps, trainer.total_steps, metrics=best.metrics, said=said[-1]
    )
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return checkpoint


def _copy_adapter(source: Path, target: Path, base_model: str) -> None:
    """The adapter names its base model by what others call it, not by the folder it lies in on this machine."""
    shutil.copyfile(source / "adapter_model.safetensors", target / "adapter_model.safetensors")
    settings = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    write_json(target / "adapter_config.json", settings | {"base_model_name_or_path": base_model})


def _said(dtype: str, way: Sharing, data: GroupData, trainer: GroupTrainer) -> tuple[str, ...]:
    """What a person should know about this run."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(data.dropped.items())) or "none"
    best, criterion = trainer.best, trainer.method.criterion
    ending = f"kept step {best.step} of {trainer.total_steps}, by held-out {criterion}" if best else ""
    return tuple(
        sentence
        for sentence in (
            dtype,
            way.reason,
            f"{len(data.train)} groups to train on, {len(data.held_out)} held out; left out: {left_out}",
            trainer.stopped,
            ending,
        )
        if sentence
    )


def _write(folder: Path, phase: Phase, step: int, total_steps: int, metrics: Mapping[str, float]) -> None:
    append_progress(folder, phase, step, total_steps, metrics=metrics)


def _fail(spec: TrainingSpec, error: OvernightError) -> int:
    write_json(spec.error, {"error": type(error).__name__, "message": str(error)})
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1


def _die_with(parent: int) -> None:
    """End this process within a second when its parent is gone, also when the parent was killed with SIGKILL."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(EXIT_ORPHAN)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
