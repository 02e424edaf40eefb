"""The process that trains: `python -m core.training.worker FOLDER/spec.json`.

It reads one `TrainingSpec`, appends to `progress.jsonl`, and ends with `trained.json`, or with exit status 1 and its
error as JSON on the pipe its parent gave it: a full disk can still be told. Killed at any moment and started again, it
goes on from its last checkpoint.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from transformers import set_seed

from core.checkpoint import Checkpoint, weights_digest
from core.errors import ModelError, OvernightError
from core.files import new_folder, write_json
from core.language.config import model_config
from core.language.dtype import choose_dtype
from core.language.model import UNTRAINED, load_model, pick_device
from core.language.sharing import Sharing, sharing
from core.training.adapter import trainable_model
from core.training.checkpoints import Best
from core.training.config import PpoSettings
from core.training.data import GroupData, load_groups
from core.training.methods import method_of
from core.training.progress import Phase, append_progress, read_progress
from core.training.reference import with_reference
from core.training.sessions import with_advantages
from core.training.spec import TrainingSpec
from core.training.trainer import GroupTrainer
from core.training.value_head import VALUE_HEAD, add_value_head

EXIT_ORPHAN = 3


def main() -> int:
    """Train what the spec says; the parent reads files, not this process's output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="end when this process ends")
    parser.add_argument("--errors", type=int, help="descriptor of the pipe that takes an error")
    arguments = parser.parse_args()
    _die_with(arguments.parent)
    spec = TrainingSpec.model_validate_json(arguments.spec.read_text(encoding="utf-8"))
    try:
        train_here(spec)
    except OvernightError as error:
        return _fail(error, arguments.errors)
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
    if isinstance(spec.settings, PpoSettings):
        add_value_head(model, Path(spec.start.path) if spec.start else None)
        data = with_advantages(model, data, spec.settings)
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
    notes = {
        "said": _said(spec, chosen.reason, way, data, trainer),
        "dropped": data.dropped,
        "dtype": chosen.dtype,
        "total_steps": trainer.total_steps,
        "stopped": trainer.stopped,
        "seconds": round(time.perf_counter() - started, 1),
    }
    return _publish(spec, trainer, notes)


def _publish(spec: TrainingSpec, trainer: GroupTrainer, notes: dict[str, Any]) -> Checkpoint:
    """Put the best adapter where it is looked for, then write its record: the sign that training is done.

    Where no step beat the checkpoint that training started from, the record is that checkpoint's own, with this
    run's figures: the same weights have one digest, one method and one place in the store.
    """
    folder, best = Path(spec.folder), trainer.best
    if best is None:  # run() looked at the starting weights first
        raise ModelError(f"{folder} holds no checkpoint: delete it and train again")
    kept = spec.start if spec.start and best.step == 0 else _adapter(spec, best)
    start_figures = next((line.metrics for line in read_progress(folder) if line.phase == "eval"), {})
    figures = best.metrics | {f"start_{name}": value for name, value in start_figures.items()}
    notes |= {"best_step": best.step, "kept_start": best.step == 0}
    checkpoint = kept.model_copy(update={"metrics": kept.metrics | figures, "notes": notes})
    write_json(spec.result, checkpoint.model_dump())
    steps = trainer.total_steps
    append_progress(folder, "done", steps, steps, metrics=best.metrics, said=notes["said"][-1])
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return checkpoint


def _adapter(spec: TrainingSpec, best: Best) -> Checkpoint:
    """The best adapter, published in the stage's folder."""
    target = Path(spec.folder) / "adapter"
    with new_folder(target) as stage:
        _copy_adapter(best.folder, stage, model_config(spec.model).public_name)
    return Checkpoint(
        kind="adapter",
        path=str(target),
        sha256=weights_digest(target),
        base_model=spec.model,
        method=spec.settings.method,
        parents=(spec.snapshot.sha256, *((spec.start.sha256,) if spec.start else ())),
    )


def _copy_adapter(source: Path, target: Path, base_model: str) -> None:
    """The adapter names its base model by what others call it, not by the folder it lies in on this machine."""
    shutil.copyfile(source / "adapter_model.safetensors", target / "adapter_model.safetensors")
    if (source / VALUE_HEAD).is_file():
        shutil.copyfile(source / VALUE_HEAD, target / VALUE_HEAD)
    settings = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    write_json(target / "adapter_config.json", settings | {"base_model_name_or_path": base_model})


def _said(spec: TrainingSpec, dtype: str, way: Sharing, data: GroupData, trainer: GroupTrainer) -> list[str]:
    """What a person should know about this run."""
    sentences = (
        dtype,
        way.reason,
        f"{len(data.train)} groups to train on, {len(data.held_out)} held out, {sum(data.dropped.values())} left out",
        trainer.stopped,
        _ending(spec, trainer),
    )
    return [sentence for sentence in sentences if sentence]


def _ending(spec: TrainingSpec, trainer: GroupTrainer) -> str:
    """Which weights were kept, and why."""
    steps, criterion = trainer.total_steps, trainer.method.criterion
    if trainer.best is not None and trainer.best.step > 0:
        return f"kept step {trainer.best.step} of {steps}, by held-out {criterion}"
    start = spec.start.label if spec.start else "the untrained model"
    return f"kept its start, {start}: no step of {steps} had a lower held-out {criterion}"


def _write(folder: Path, phase: Phase, step: int, total_steps: int, metrics: Mapping[str, float]) -> None:
    append_progress(folder, phase, step, total_steps, metrics=metrics)


def _fail(error: OvernightError, pipe: int | None) -> int:
    if pipe is not None:
        os.write(pipe, json.dumps({"error": type(error).__name__, "message": str(error)}).encode())
    with suppress(OSError):  # the log may lie on a disk that is full
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
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
