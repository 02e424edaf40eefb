"""TRL's own trainers on our rows, with our settings, for the same artifacts: data and arguments are mapped, no more."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedTokenizerBase, PrinterCallback, set_seed
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from core.checkpoint import Checkpoint
from core.errors import ConfigError, DataError, one_line
from core.files import writing
from core.language.config import model_config
from core.language.dtype import choose_dtype
from core.language.model import load_model, model_folder, pick_device
from core.training.adapter import trainable_model
from core.training.arguments import argument_values
from core.training.backends.trl_grpo import grpo_arguments, grpo_reward, grpo_rows
from core.training.backends.trl_rhythm import Rhythm
from core.training.backends.trl_rows import batched_groups, trl_rows
from core.training.checkpoints import CHECKPOINTS, latest_checkpoint
from core.training.config import DpoSettings, GrpoSettings, KtoSettings, MethodSettings
from core.training.data import GroupData, load_groups
from core.training.memory import before_loading, empty_model
from core.training.notes import not_done, run_notes
from core.training.pairs import with_class_weights
from core.training.progress import append_progress
from core.training.publish import publish
from core.training.schedule import learning_rate_factor
from core.training.spec import TrainingSpec


def train(spec: TrainingSpec) -> Checkpoint:
    """Run one training stage by TRL and publish its checkpoint. Raises: OvernightError."""
    started, folder, device = time.perf_counter(), Path(spec.folder), pick_device()
    config, settings = model_config(spec.model), spec.settings
    append_progress(folder, "loading", 0, 0)
    empty = partial(empty_model, model_folder(config), config, spec.adapter, start=spec.start)
    memory = before_loading(empty, settings, device)
    chosen = choose_dtype(config, settings.dtype, device)
    loaded = load_model(config, chosen.dtype, device)
    data = load_groups(spec.snapshot, loaded.tokenizer, settings, loaded.context_length)
    settings = with_class_weights(settings, (group.rewards for group in data.train))
    data, train_rows, held_out_rows = _rows(data, settings)
    room = replace(memory, model=empty(chosen.dtype)).need_room_for_passes(
        batched_groups(data.train, settings)
    )
    set_seed(settings.seed)
    model = trainable_model(loaded.model, config, spec.adapter, spec.start)
    rhythm = Rhythm(settings, folder, model, looks=held_out_rows is not None)
    values = argument_values(settings, folder / CHECKPOINTS, device)
    inputs: dict[str, Any] = {"train_dataset": train_rows, "eval_dataset": held_out_rows}
    if isinstance(settings, GrpoSettings):
        inputs["reward_funcs"] = grpo_reward(settings, data, model, loaded.tokenizer)
    trainer = _trainer(settings, values, model, loaded.tokenizer, inputs)
    trainer.add_callback(rhythm)
    _run(trainer, rhythm, folder)
    steps = trainer.state.max_steps
    by = f"trained by TRL, which counts its batches in rows: {len(train_rows)} from these groups"
    said = [chosen.reason, room, data.said, by, *not_done("TRL", settings)]
    notes = run_notes(said, dropped=data.dropped, dtype=chosen.dtype, total_steps=steps, started=started)
    return publish(spec, rhythm.best, steps, rhythm.criterion, notes)


def _rows(data: GroupData, settings: MethodSettings) -> tuple[GroupData, Dataset, Dataset | None]:
    """The data with what TRL can't take counted as left out, and TRL's rows, to train on and held out."""
    if isinstance(settings, GrpoSettings):
        return data, *grpo_rows(data, settings)
    left_out: Counter[str] = Counter()
    train_rows, held_out_rows = (
        trl_rows(groups, settings, left_out) for groups in (data.train, data.held_out)
    )
    if train_rows is None:
        raise DataError(f"nothing is left for TRL's {settings.method} ({dict(left_out)}): collect more rows")
    dropped = Counter(data.dropped) + left_out
    return replace(data, dropped=dict(dropped)), train_rows, held_out_rows


def _run(trainer: Any, rhythm: Rhythm, folder: Path) -> None:
    """Train to the end, going on from the newest whole checkpoint."""
    resume = latest_checkpoint(folder / CHECKPOINTS)
    trainer.args.eval_on_start = rhythm.looks and (resume is None or rhythm.best is None)
    with writing(folder / CHECKPOINTS):
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    rhythm.finish(trainer.state.global_step)


def _trainer(
    settings: MethodSettings,
    values: dict[str, Any],
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    inputs: Mapping[str, Any],
) -> Any:
    """The trainer of a method. Raises: ConfigError for what TRL itself refuses."""
    kind, arguments = _arguments(settings, values)
    try:
        trainer = kind(
            model=model,
            args=arguments,
            processing_class=tokenizer,
            **inputs,
        )
    except ValueError as error:
        raise ConfigError(f"TRL's {settings.method} refuses these settings: {one_line(error)}") from error
    trainer.settings = settings
    if "ref" in model.peft_config and settings.method != "grpo":  # its log-probabilities are computed
        model.delete_adapter("ref")
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(settings: MethodSettings, values: dict[str, Any]) -> tuple[Any, Any]:
    """Our settings in TRL's words. Nothing is cut off: `load_groups` left out what is longer than the context."""
    values |= {
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "per_device_eval_batch_size": values["per_device_train_batch_size"],
    }
    if isinstance(settings, GrpoSettings):
        return _Grpo, grpo_arguments(settings, values)
    values |= {"max_length": None}
    if isinstance(settings, DpoSettings):
        return _Dpo, DPOConfig(
            **values,
            beta=settings.beta,
            loss_type=[settings.loss_type],
            label_smoothing=settings.label_smoothing,
            precompute_ref_log_probs=True,
            disable_dropout=False,
        )
    if isinstance(settings, KtoSettings):
        return _Kto, KTOConfig(
            **values,
            beta=settings.beta,
            desirable_weight=settings.desirable_weight,
            undesirable_weight=settings.undesirable_weight,
            precompute_ref_log_probs=True,
            disable_dropout=False,
        )
    return _Sft, SFTConfig(**values, dataset_kwargs={"skip_prepare_dataset": True})


class _OurWays:
    """What any of TRL's trainers leaves to us: the rows as they are, the learning rate's course, and silence."""

    settings: MethodSettings
    lr_scheduler: LambdaLR | None
    optimizer: Any

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """The learning rate's course, as for our own trainer."""
        if self.lr_scheduler is None:
            factor = learning_rate_factor(self.settings, num_training_steps)
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: a release has a card of its own."""

    def _send_telemetry(self) -> None:
        """None: what is trained here is nobody else's business."""


class _OurRows(_OurWays):
    model: Any

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """The rows hold tokens already."""
        return dataset

    def _precompute_ref_logps(self, *arguments: Any) -> Dataset:
        """The reference drops out nothing; TRL has just given it an adapter of its own that would."""
        self.model.eval()
        return super()._precompute_ref_logps(*arguments)  # type: ignore[misc]


class _Sft(_OurWays, SFTTrainer):
    pass


class _Grpo(_OurWays, GRPOTrainer):
    pass


class _Dpo(_OurRows, DPOTrainer):
    pass


class _Kto(_OurRows, KTOTrainer):
    pass
