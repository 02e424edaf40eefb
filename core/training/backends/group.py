"""Our own trainer: every method, on groups, each prompt computed once."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from transformers import set_seed

from core.checkpoint import Checkpoint
from core.files import write_json
from core.language.config import ModelConfig, model_config
from core.language.dtype import DtypeChoice, choose_dtype
from core.language.four_bit import choose_quantization
from core.language.model import UNTRAINED, load_model, model_folder, pick_device
from core.language.sharing import Sharing, sharing
from core.training.adapter import trainable_model
from core.training.config import PpoSettings, online
from core.training.data import load_groups
from core.training.drawing import drawn_said, draws_of
from core.training.epochs import Epochs
from core.training.guards import Guarded, guard
from core.training.memory import before_loading, empty_model
from core.training.methods import method_of
from core.training.notes import run_notes
from core.training.pairs import with_class_weights
from core.training.progress import Phase, append_progress
from core.training.publish import publish
from core.training.ranks import first_then_others, from_first, is_first
from core.training.reference import with_reference
from core.training.schedule import GroupOrder
from core.training.sessions import with_advantages
from core.training.spec import TrainingSpec
from core.training.trainer import GroupTrainer
from core.training.value_head import add_value_head


def train(spec: TrainingSpec) -> Checkpoint:
    """Run one training stage in this process and publish its checkpoint. Raises: OvernightError."""
    started, folder, device = time.perf_counter(), Path(spec.folder), pick_device()
    config = model_config(spec.model)
    tell = partial(_write, folder) if is_first() else _leave_it
    tell("loading", 0, 0, {})
    packed = choose_quantization(spec.settings.quantization, device)
    empty = partial(empty_model, model_folder(config), config, spec.adapter, start=spec.start)
    memory = before_loading(empty, spec.settings, device, packed.quantization)
    with first_then_others():
        chosen = _chosen_dtype(spec, config, device)
    loaded = load_model(config, chosen.dtype, device, packed.quantization)
    data = load_groups(spec.snapshot, loaded.tokenizer, spec.settings, loaded.context_length)
    weighed = with_class_weights(spec.settings, (group.rewards for group in data.train))
    spec = spec.model_copy(update={"settings": weighed})
    drawing = online(spec.settings)
    room = replace(memory, model=empty(chosen.dtype)).need_room_for_passes(data.train)
    way = sharing(loaded.model.config, data.longest + (drawing.sampling.max_tokens if drawing else 0))
    set_seed(spec.settings.seed)
    model = trainable_model(loaded.model, config, spec.adapter, spec.start)
    method = method_of(spec.settings)
    if method.needs_reference:
        tell("reference", 0, 0, {})
        start = spec.start.sha256 if spec.start else UNTRAINED
        with first_then_others():
            data = with_reference(model, data, folder / "reference.safetensors", start)
    guarded = guard(data, spec.settings)
    data, spec = guarded.data, spec.model_copy(update={"settings": guarded.settings})
    method = method_of(spec.settings)
    if isinstance(spec.settings, PpoSettings):
        add_value_head(model, Path(spec.start.path) if spec.start else None)
    if isinstance(spec.settings, PpoSettings) and not drawing:
        data = with_advantages(model, data, spec.settings)
    ends = GroupOrder(len(data.train), spec.settings).epoch_ends if spec.settings.save_each_epoch else ()
    trainer = GroupTrainer(
        model,
        method=method,
        settings=spec.settings,
        train=data.train,
        held_out=data.held_out,
        folder=folder,
        log=tell,
        draws=draws_of(spec.settings, model, loaded.tokenizer, data),
        epochs=Epochs(folder, config.public_name, ends),
    )
    trainer.run()
    notes = run_notes(
        _said((chosen.reason, packed.reason, room), way, guarded, trainer),
        dropped=data.dropped,
        dtype=chosen.dtype,
        quantization=packed.quantization,
        total_steps=trainer.total_steps,
        stopped=trainer.stopped,
        started=started,
    )
    ending = (spec, trainer.best, trainer.total_steps, method.criterion, notes)
    return from_first(publish(*ending) if is_first() else None)  # type: ignore[return-value]


def _chosen_dtype(spec: TrainingSpec, config: ModelConfig, device: torch.device) -> DtypeChoice:
    """The weights' type, chosen once: timed again, a resumed run could take the other one."""
    path = Path(spec.folder) / "dtype.json"
    if spec.settings.dtype != "auto":
        return choose_dtype(config, spec.settings.dtype, device)
    if path.is_file():
        return DtypeChoice(**json.loads(path.read_text(encoding="utf-8")))
    chosen = choose_dtype(config, spec.settings.dtype, device)
    write_json(path, asdict(chosen))
    return chosen


def _said(kept: tuple[str, ...], way: Sharing, guarded: Guarded, trainer: GroupTrainer) -> list[str]:
    """What a person should know about this run."""
    rollbacks = [rollback.said for rollback in trainer.rollbacks]
    drawn = drawn_said(trainer.folder)
    return [
        *kept,
        way.reason,
        guarded.data.said,
        guarded.said,
        drawn,
        *rollbacks,
        trainer.epochs.said,
        trainer.stopped,
    ]


def _write(  # noqa: PLR0917
    folder: Path, phase: Phase, step: int, total_steps: int, metrics: Mapping[str, float], said: str = ""
) -> None:
    append_progress(folder, phase, step, total_steps, metrics=metrics, said=said)


def _leave_it(
    phase: Phase, step: int, total_steps: int, metrics: Mapping[str, float], said: str = ""
) -> None:
    """What a process that is not the first tells."""
    del phase, step, total_steps, metrics, said
