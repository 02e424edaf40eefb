"""A `transformers.Trainer` whose items are groups: one primitive, and a loss that the method brings."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer

from core.files import writing
from core.language.row import slices
from core.training.arguments import training_arguments
from core.training.checkpoints import (
    CHECKPOINTS,
    Best,
    keep_best,
    keep_start,
    latest_checkpoint,
    read_best,
    seal,
)
from core.training.config import MethodSettings, PpoSettings
from core.training.data import TrainingGroup
from core.training.diverged import diverged
from core.training.draws import Draws, Given
from core.training.epochs import Epochs
from core.training.methods.group_method import GroupMethod
from core.training.pace import Pace, StepFigures
from core.training.progress import SECONDS_LEFT
from core.training.ranks import from_first, is_first, rank_and_processes, sums, wait
from core.training.reference import EVALUATION_TOKENS
from core.training.rhythm import Log, Rhythm
from core.training.rollback import (
    Rollback,
    Wall,
    check_figures,
    check_kl,
    check_weights,
    distrust,
    is_near,
    read_rollbacks,
    roll_back,
    set_rates,
    slowed,
)
from core.training.schedule import GroupOrder, MicroBatches, learning_rate_factor
from core.training.value_head import (
    computed,
    load_value_head,
    save_value_head,
    set_own_learning_rate,
    value_head,
)


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
        draws: Draws | None = None,
        epochs: Epochs | None = None,
    ) -> None:
        self.draws, self.epochs = draws or Given(), epochs or Epochs(folder)
        self.method, self.settings, self.folder = method, settings, folder
        self.held_out, self.write = held_out, log
        self.stopped = ""
        self.best: Best | None = from_first(read_best(folder) if is_first() else None)
        self.rollbacks: tuple[Rollback, ...] = from_first(read_rollbacks(folder) if is_first() else ())
        self.order = GroupOrder(len(train), settings)
        steps = math.ceil(len(self.order) / settings.batch_size)
        self.total_steps = min(steps, settings.max_steps or steps)
        self.fresh = False
        self._passes = MicroBatches(self.order, settings, *rank_and_processes())
        self._figures, self.pace = StepFigures(), Pace(settings, self.total_steps)
        super().__init__(
            model=model,
            args=training_arguments(
                settings, folder / CHECKPOINTS, next(model.parameters()).device, self.total_steps
            ),
            train_dataset=list(train),
            data_collator=lambda groups: {"groups": groups},
            callbacks=[Rhythm(self)],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = True

    def run(self) -> None:
        """Train to the end, going on from the newest whole checkpoint. Raises: DivergedError, StorageError."""
        if self.best is None:
            self.evaluate()
        with writing(self.folder / CHECKPOINTS):
            while not self._trained():
                self.optimizer, self.lr_scheduler = None, None
                self._figures.forget()

    def _trained(self) -> bool:
        """Train on; False when the run went back to an earlier checkpoint. Raises: DivergedError, StorageError."""
        resume = from_first(latest_checkpoint(self.folder / CHECKPOINTS) if is_first() else None)
        self.fresh = resume is None
        self.epochs.go_on_from(resume)
        try:
            self.train(resume_from_checkpoint=None if resume is None else str(resume))
        except Wall as wall:
            return not self._went_back(wall)
        return True

    def _went_back(self, wall: Wall) -> bool:
        """Whether there was a checkpoint to go back to; else the run ends with the best. Raises: DivergedError."""
        made = None
        if is_first():
            distrust(self.folder, wall)
            self.epochs.forget(wall.step - 2)
            self.best = read_best(self.folder)
            if len(self.rollbacks) < self.settings.max_rollbacks:
                made = roll_back(self.folder, self.folder / CHECKPOINTS, wall)
        made, self.best = from_first((made, self.best))
        if made is not None:
            self.rollbacks = (*self.rollbacks, made)
            self.write("rollback", made.to, self.total_steps, {}, made.said)
            return True
        after = f", after {len(self.rollbacks)} rollbacks" if self.rollbacks else ""
        if not wall.kl and (self.best is None or self.best.step == 0):
            raise diverged(wall.reason, self.settings, self.folder, after=after)
        self.stopped = (
            f"stopped at step {wall.step}{after}: {wall.reason}; the best checkpoint so far is kept"
        )
        return False

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
            course = learning_rate_factor(self.settings, num_training_steps)
            self.lr_scheduler = LambdaLR(scheduled, slowed(course, self.rollbacks))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        """The method's loss on one pass's groups, as its part of the loss of all passes and processes."""
        drawn, share = inputs["drawn"], inputs["share"]
        loss, curves = self._loss(model, drawn.groups)
        self._figures.add(curves, share, sum(group.tokens.computed for group in drawn.groups))
        return loss * (
            drawn.weight * share * rank_and_processes()[1]
        )  # gradients are averaged over processes

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], None]:
        """A step's passes, drawn, each with its share of what the step's loss is a mean over, on all processes."""
        passes, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        step = self.state.global_step
        own = 0 if self._passes.idle(step) else 1
        for one in passes:
            drawn = one["drawn"] = self.draws.batch(one["groups"], step)
            self._figures.add(drawn.curves, own * len(one["groups"]), 0)
            counted = self.method.counted(drawn.groups) if drawn.counted is None else drawn.counted
            one["count"] = own * counted
        total = sums([sum(one["count"] for one in passes)])[0] or 1
        return [one | {"share": one["count"] / total} for one in passes], None

    def _loss(
        self, model: torch.nn.Module, groups: Sequence[TrainingGroup]
    ) -> tuple[Tensor, dict[str, float]]:
        if not groups:  # nothing that was drawn teaches anything: a step with no gradient
            trained = [weight.sum() for weight in model.parameters() if weight.requires_grad]
            return torch.stack(trained).sum() * 0.0, {}
        logprobs_N, batch = computed(model, groups, self.args.device, values=self.method.needs_values)
        return self.method.loss(logprobs_N, batch, self.state.global_step)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Look at the held-out groups, and keep the weights when they are the best so far: the first process alone."""
        self.control.should_evaluate = False
        with self.pace.pause("look"):
            metrics, self.best = from_first((self._looked(), self.best) if is_first() else ({}, None))
        return metrics

    def _looked(self) -> dict[str, float]:
        metrics = self.look(self.held_out) if self.held_out else {}
        step = self.state.global_step
        value = metrics.get(self.method.criterion, math.nan) if self.held_out else -float(step)
        said = (
            "" if math.isfinite(value) else f"the look at step {step} measured nothing: it can't be the best"
        )
        self.write("eval", step, self.total_steps, metrics | self._left(), said)
        value = value if math.isfinite(value) and is_near(metrics, self.settings) else math.inf
        if self.best is None or value < self.best.value:
            self.best = keep_best(
                self.folder, step, value, metrics, self._save_adapter, course=len(self.rollbacks)
            )
        return metrics

    @torch.no_grad()
    def look(self, groups: Sequence[TrainingGroup]) -> dict[str, float]:
        """Means of the method's held-out figures over groups; `unanswered` is the share of those that have none."""
        model: torch.nn.Module = self.model  # type: ignore[assignment]
        training = model.training
        model.eval()
        figures: dict[str, list[float]] = defaultdict(list)
        asked, groups = len(groups), self.draws.held_out(groups)
        for part in slices([group.tokens for group in groups], EVALUATION_TOKENS):
            logprobs_N, batch = computed(
                model, groups[part], self.args.device, values=self.method.needs_values
            )
            for name, values_B in self.method.look(logprobs_N, batch).items():
                figures[name] += values_B.tolist()
        model.train(training)
        drawn = {} if isinstance(self.draws, Given) else {"unanswered": 1 - len(groups) / asked}
        return drawn | {name: float(np.mean(values)) for name, values in figures.items()}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send one step's curves on. Raises: Wall when they can't be trusted."""
        del start_time
        if "loss" not in logs:
            return
        step = self.state.global_step
        check_figures(step, logs)
        curves, tokens = self._figures.take()
        rate = {"tokens_per_second": tokens / self.pace.step()}
        self.control.should_log = False
        self.write("train", step, self.total_steps, logs | curves | rate | self._left())
        check_kl(step, curves, self.settings)
        if self.control.should_evaluate or self.control.should_save or step in self.epochs.ends:
            check_weights(step, self.model)  # type: ignore[arg-type]
        self.epochs.keep(step, self._save_adapter)

    def _left(self) -> dict[str, float]:
        left = self.pace.seconds_left(self.state.global_step)
        return {} if left is None else {SECONDS_LEFT: left}

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The passes of one process: an order of groups of our own, in place of accelerate's shares."""
        groups: Any = self.train_dataset
        return DataLoader(groups, batch_sampler=self._passes, collate_fn=self.data_collator)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted."""
        del inputs
        return 0

    def save_start(self) -> None:
        """Save the state before the first step."""
        self._save_checkpoint(self.model_wrapped, None)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.pace.pause("save"):
            super()._save_checkpoint(model, trial)
            wait()
            folder = self.folder / CHECKPOINTS / f"checkpoint-{self.state.global_step}"
            if is_first():
                save_value_head(model, folder)
                seal(folder)
                if self.state.global_step == 0:
                    keep_start(folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """A checkpoint holds the next step's learning rate as it was before a rollback: it is computed anew."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and isinstance(self.lr_scheduler, LambdaLR):
            set_rates(self.lr_scheduler)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_value_head(self.model, Path(resume_from_checkpoint))  # type: ignore[arg-type]

    def _save_adapter(self, folder: Path) -> None:
        self.model.save_pretrained(folder)  # type: ignore[union-attr, operator]
        save_value_head(self.model, folder)  # type: ignore[arg-type]
        (folder / "README.md").unlink(missing_ok=True)  # a template of PEFT's, with nothing filled in
