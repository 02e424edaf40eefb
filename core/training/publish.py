"""The end of a training stage: its best adapter where it is looked for, and the record that says it is done."""

import shutil
from pathlib import Path
from typing import Any

from core.checkpoint import Checkpoint, weights_digest
from core.errors import ModelError
from core.files import new_folder, write_json
from core.language.config import model_config
from core.training.checkpoints import CHECKPOINTS, Best
from core.training.epochs import ADAPTER_SETTINGS, name_base_model
from core.training.progress import append_progress, read_progress
from core.training.spec import TrainingSpec
from core.training.value_head import VALUE_HEAD

WEIGHTS = "adapter_model.safetensors"


def publish(
    spec: TrainingSpec, best: Best | None, total_steps: int, criterion: str, notes: dict[str, Any]
) -> Checkpoint:
    """Put the best adapter where it is looked for, then write its record: the sign that training is done.

    Where no step beat the checkpoint that training started from, the record is that checkpoint's own, with this
    run's figures: the same weights have one digest, one method and one place in the store. `notes["said"]` gets a
    last sentence: which weights were kept, by which held-out figure (`criterion`).
    """
    folder = Path(spec.folder)
    if best is None:  # every backend looks at the starting weights first
        raise ModelError(f"{folder} holds no checkpoint: delete it and train again")
    kept = spec.start if spec.start and best.step == 0 else _adapter(spec, best)
    start_figures = next((line.metrics for line in read_progress(folder) if line.phase == "eval"), {})
    figures = best.metrics | {f"start_{name}": value for name, value in start_figures.items()}
    said = [*notes["said"], _ending(spec, best, total_steps, criterion)]
    notes = notes | {"said": said, "best_step": best.step, "kept_start": best.step == 0}
    checkpoint = kept.model_copy(update={"metrics": kept.metrics | figures, "notes": notes})
    write_json(spec.result, checkpoint.model_dump())
    append_progress(folder, "done", total_steps, total_steps, metrics=best.metrics, said=said[-1])
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
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
    for name in (WEIGHTS, ADAPTER_SETTINGS, VALUE_HEAD):
        if name != VALUE_HEAD or (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    name_base_model(target, base_model)


def _ending(spec: TrainingSpec, best: Best, total_steps: int, criterion: str) -> str:
    """Which weights were kept, and why."""
    if not best.metrics:
        return f"kept step {best.step} of {total_steps}, the last: there are no held-out rows to choose by"
    if best.step > 0:
        return f"kept step {best.step} of {total_steps}, by held-out {criterion}"
    start = spec.start.label if spec.start else "the untrained model"
    return f"kept its start, {start}: no step of {total_steps} had a lower held-out {criterion}"
