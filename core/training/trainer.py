"""A `transformers.Trainer` whose items are groups: one primitive, and a loss that the method brings."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from core.errors import DivergedError
from core.files import writing
from core.language.group import group_logprobs
from core.language.row import slices
from core.training.arguments import training_arguments
from core.training.checkpoints import CHECKPOINTS, Best, keep_best, latest_checkpoint, read_best, seal
from core.training.config import GrpoSettings, MethodSettings, PpoSettings
from core.training.data import GroupBatch, TrainingGroup
from core.training.methods.group_method import GroupMethod
from core.training.reference import EVALUATION_TOKENS
from core.training.schedule import GroupOrder, learning_rate_factor
from core.training.value_head import (
    load_value_head,
    logprobs_and_values,
    save_value_head,
    set_own_learning_rate,
    value_head,
)

Log = Callable[[Literal["train", "eval"], int, int, Mapping[str, float]], None]
"""(phase, step, total steps, figures) of something that was measured."""


class GroupTrainer(Trainer):
    """Trains a model on groups by one method; keeps the best checkpoint by the method's held-out criterion.

    The starting weights are a candidate too: a run that makes things worse ends with them.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        *,
        method: GroupMethod,
        settings: MethodSettings,
        train: Sequence[TrainingGroup],
        held_out: Sequence[TrainingGroup],
        folder: Path,
        log: Log,
    ) -> None:
        self.method, self.settings, self.folder = method, settings, folder
        self.held_out, self.write = held_out, log
        self.stopped = ""
        self.best: Best | None = read_best(folder)
        self.order = GroupOrder(len(train), settings)
        steps = math.ceil(len(self.order) / settings.batch_size)
        self.total_steps = min(steps, settings.max_steps or steps)
        self._curves: dict[str, list[float]] = defaultdict(list)
        self._tokens, self._since = 0, time.perf_counter()
        super().__init__(
            model=model,
            args=training_arguments(
                settings, folder / CHECKPOINTS, next(model.parameters()).device, self.total_steps
            ),
            train_dataset=list(train),
            data_collator=lambda groups: {"groups": groups},
            callbacks=[_Rhythm(self)],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False

    def run(self) -> None:
        """Train to the end, going on from the newest whole checkpoint. Raises: DivergedError, StorageError."""
        resume = latest_checkpoint(self.folder / CHECKPOINTS)
        if resume is None or self.best is None:
            self.evaluate()
        with writing(self.folder / CHECKPOINTS):
            self.train(resume_from_checkpoint=None if resume is None else str(resume))

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimizer; a value head, which starts from nothing, has a learning rate of its own."""
        made = self.optimizer is not None
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        head = value_head(self.model)  # type: ignore[arg-type]
        if head is not None and not made and isinstance(self.settings, PpoSettings):
            set_own_learning_rate(optimizer, head, self.settings.value_learning_rate)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """The learning rate's course. Unlike the ones of transformers it does not waste the first step on 0."""
        if self.lr_scheduler is None:
            scheduled: Any = optimizer or self.optimizer
            self.lr_scheduler = LambdaLR(scheduled, learning_rate_factor(self.settings, num_training_steps))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        """The method's loss on one batch of groups. Raises: DivergedError."""
        logprobs_N, batch = self._computed(model, inputs["groups"])
        loss, curves = self.method.loss(logprobs_N, batch, self.state.global_step)
        self._tokens += sum(group.computed for group in batch.tokens)
        for name, value in curves.items():
            self._curves[name].append(value)
        if not math.isfinite(loss.item()):
            raise DivergedError(self._diverged(f"the loss became {loss.item()}"))
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Look at the held-out groups, and keep the weights when they are the best so far."""
        metrics = self.look(self.held_out) if self.held_out else {}
        step = self.state.global_step
        self.control.should_evaluate = False
        self.write("eval", step, self.total_steps, metrics)
        value = metrics.get(self.method.criterion, -float(step))  # nothing held out: the newest is best
        value = value if math.isfinite(value) else math.inf
        if self.best is None or value < self.best.value:
            self.best = keep_best(self.folder, step, value, metrics, self._save_adapter)
        self._since, self._tokens = time.perf_counter(), 0
        return metrics

    @torch.no_grad()
    def look(self, groups: Sequence[TrainingGroup]) -> dict[str, float]:
        """Means of the method's held-out figures over groups."""
        model: torch.nn.Module = self.model  # type: ignore[assignment]
        training = model.training
        model.eval()
        figures: dict[str, list[float]] = defaultdict(list)
        for part in slices([group.tokens for group in groups], EVALUATION_TOKENS):
            logprobs_N, batch = self._computed(model, groups[part])
            for name, values_B in self.method.look(logprobs_N, batch).items():
                figures[name] += values_B.tolist()
        model.train(training)
        return {name: float(np.mean(values)) for name, values in figures.items()}

    def _computed(self, model: torch.nn.Module, groups: Sequence[TrainingGroup]) -> tuple[Tensor, GroupBatch]:
        """Log-probabilities of a batch's completion tokens, and the batch, with values where the method needs them."""
        batch = GroupBatch.of(groups, self.args.device)
        if not self.method.needs_values:
            return group_logprobs(model, batch.tokens), batch
        logprobs_N, values_B = logprobs_and_values(model, batch.tokens)
        return logprobs_N, replace(batch, values_B=values_B)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send one step's curves on. Raises: DivergedError when the gradient is no number."""
        del start_time
        if "loss" not in logs:
            return
        if not math.isfinite(logs.get("grad_norm", 0.0)):
            raise DivergedError(self._diverged(f"the gradient's norm became {logs['grad_norm']}"))
        curves = {name: float(np.mean(values)) for name, values in self._curves.items()}
        seconds = time.perf_counter() - self._since
        rate = {"tokens_per_second": self._tokens / seconds}
        self.control.should_log = False
        self.write("train", self.state.global_step, self.total_steps, logs | curves | rate)
        self._check_kl(curves.get("kl", 0.0))
        self._curves.clear()
        self._since, self._tokens = time.perf_counter(), 0

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted."""
        del inputs
        return 0

    def _get_train_sampler(self, train_dataset: Any = None) -> GroupOrder:
        del train_dataset
        return self.order

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = self.folder / CHECKPOINTS / f"checkpoint-{self.state.global_step}"
        save_value_head(model, folder)
        seal(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_value_head(self.model, Path(resume_from_checkpoint))  # type: ignore[arg-type]

    def _save_adapter(self, folder: Path) -> None:
        self.model.save_pretrained(folder)  # type: ignore[union-attr, operator]
        save_value_head(self.model, folder)  # type: ignore[arg-type]
        (folder / "README.md").unlink(missing_ok=True)  # a template of PEFT's, with nothing filled in

    def _check_kl(self, kl: float) -> None:
        limit = self.settings.max_kl if isinstance(self.settings, GrpoSettings | PpoSettings) else None
        if limit is not None and kl > limit:
            self.stopped = (
                f"stopped at step {self.state.global_step}: the KL to the starting policy is {kl:.3f}, above max_kl "
                f"{limit}; the best checkpoint so far is kept"
            )
            self.control.should_training_stop = True
            self.control.should_evaluate = False  # weights that far off are no candidates

    def _diverged(self, what: str) -> str:
        kept = f"; the checkpoint of step {self.best.step} is in {self.best.folder}" if self.best else ""
        return (
            f"{what} at step {self.state.global_step + 1} of {self.method.name} in {self.folder}: lower "
            f"learning_rate (now {self.settings.learning_rate}) or set dtype to fp32{kept}"
        )


class _Rhythm(TrainerCallback):
    """When a run looks at held-out groups, saves, and stops."""

    def __init__(self, trainer: GroupTrainer) -> None:
        self.trainer = trainer

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        del args
        settings, step = self.trainer.settings, state.global_step
        repeats = settings.num_iterations if isinstance(settings, GrpoSettings) else 1
        last = step >= state.max_steps
        control.should_log = True
        control.should_evaluate = last or step % settings.eval_every == 0
        # between updates on one draw there is a draw to lose
        control.should_save = not last and step % settings.save_every == 0 and step % repeats == 0
