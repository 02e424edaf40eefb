"""mlx-lm's trainer with our rhythm: looks at held-out rows, the best checkpoint, and exact resumption.

A run is cut where its weights are looked at or saved; each part is one call of mlx-lm's `train`. A part's random numbers
come from the seed and its first step, so a resumed run draws what the uninterrupted one draws. Unlike ours it never goes
back: figures that are no numbers end the run.
"""

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn, optimizers
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.trainer import TrainingArgs, evaluate, grad_checkpoint, train
from safetensors.mlx import load_file, save_file

from core.files import digest, new_folder, write_json
from core.language.row import TokenGroup
from core.training.backends.mlx_model import AdaptedModel, completion_logprobs, trainable
from core.training.checkpoints import CHECKPOINTS, Best, keep_best, latest_checkpoint, read_best, seal
from core.training.config import SftSettings
from core.training.diverged import diverged, no_number
from core.training.pace import Pace
from core.training.progress import SECONDS_LEFT, append_progress
from core.training.schedule import GroupOrder, learning_rate_factor

PROBES = "probes.json"
"""Beside a best adapter: what it answered in MLX, to be held against what it answers in torch."""
_PADDED_TO = 32
"""Rows are padded to a multiple of this, because MLX compiles a step for each shape it sees."""
_OPTIMIZER = "optimizer.safetensors"
_WEIGHTS = "weights.safetensors"
Batch = tuple[mx.array, mx.array, mx.array]
"""Token ids (R, T), where each row's completion begins and ends (R, 2), and the weight of a token in the loss."""


class MlxTrainer:
    """Trains an adapter on prompts with one completion each; keeps the one with the lowest held-out loss.

    The starting weights are a candidate too.
    """

    def __init__(
        self,
        adapted: AdaptedModel,
        *,
        settings: SftSettings,
        train: Sequence[TokenGroup],
        held_out: Sequence[TokenGroup],
        probes: Sequence[TokenGroup],
        folder: Path,
    ) -> None:
        self.adapted, self.settings, self.folder = adapted, settings, folder
        self.rows, self.held_out, self.probes = train, held_out, probes
        self.best: Best | None = read_best(folder)
        self._order = list(GroupOrder(len(train), settings))
        steps = math.ceil(len(self._order) / settings.batch_size)
        self.total_steps = min(steps, settings.max_steps or steps)
        self._pace = Pace(settings, self.total_steps)
        self._optimizer = _optimizer(settings, self.total_steps)
        self._optimizer.init(adapted.model.trainable_parameters())

    def run(self) -> None:
        """Train to the end, going on from the newest whole checkpoint. Raises: DivergedError, StorageError."""
        step = self._resume()
        if step == 0 or self.best is None:
            with self._pace.pause("look"):
                self._look(step)
        if self.settings.gradient_checkpointing:
            grad_checkpoint(self.adapted.model.layers[0])
        while step < self.total_steps:
            step = self._train(step, self._next_stop(step))
            if step == self.total_steps or step % self.settings.eval_every == 0:
                with self._pace.pause("look"):
                    self._look(step)
            if step < self.total_steps and step % self.settings.save_every == 0:
                with self._pace.pause("save"):
                    self._save(step)

    def _next_stop(self, step: int) -> int:
        every = (self.settings.eval_every, self.settings.save_every)
        return min(self.total_steps, *(step - step % interval + interval for interval in every))

    def _train(self, first: int, stop: int) -> int:
        """The steps from `first` up to `stop`, by mlx-lm."""
        mx.random.seed(int(digest(self.settings.seed, first)[:8], 16))
        passes = self.settings.gradient_accumulation_steps
        scratch = self.folder / CHECKPOINTS / "written-by-mlx-lm.safetensors"  # at the end of every call
        scratch.parent.mkdir(parents=True, exist_ok=True)
        arguments = TrainingArgs(
            iters=(stop - first) * passes,
            steps_per_report=passes,
            steps_per_save=(stop - first) * passes + 1,
            grad_accumulation_steps=passes,
            adapter_file=str(scratch),
        )
        train(
            self.adapted.model,
            self._optimizer,
            self.rows,
            args=arguments,
            loss=_completion_loss,
            iterate_batches=lambda **_: self._batches(first, stop),
            training_callback=_Curves(self, first),
        )
        return stop

    def _batches(self, first: int, stop: int) -> Iterator[Batch]:
        """What each forward pass gets: every step's rows, in as many passes as the settings say."""
        size, passes = self.settings.batch_size, self.settings.gradient_accumulation_steps
        for step in range(first, stop):
            rows = [self.rows[index] for index in self._order[step * size : (step + 1) * size]]
            tokens = sum(len(row.completions[0]) for row in rows)
            for place in range(passes):
                part = rows[place * size // passes : (place + 1) * size // passes]
                ids_R_T, spans_R_2 = _padded(part or rows[:1])  # a short last batch can leave nothing
                yield ids_R_T, spans_R_2 if part else mx.zeros_like(spans_R_2), mx.array(passes / tokens)

    def told(self, step: int, figures: dict[str, float]) -> None:
        """Pass one step's curves on. Raises: DivergedError when they are no numbers."""
        norm = self._optimizer.state["grad_norm"].item()
        loss = figures["train_loss"]
        curves = {"loss": loss, "grad_norm": norm, "learning_rate": figures["learning_rate"]}
        if (reason := no_number(step, curves)) is not None:
            raise diverged(reason, self.settings, self.folder, self.best)
        self._pace.step()
        curves["tokens_per_second"] = figures["tokens_per_second"]
        curves[SECONDS_LEFT] = self._pace.seconds_left(step) or 0.0
        append_progress(self.folder, "train", step, self.total_steps, metrics=curves)

    def _look(self, step: int) -> None:
        """The mean over held-out rows of the mean loss of their tokens; the best weights so far are kept."""
        metrics = {}
        if self.held_out:
            size = self.settings.batch_size
            parts = [self.held_out[start : start + size] for start in range(0, len(self.held_out), size)]
            metrics["loss"] = evaluate(
                self.adapted.model,
                self.held_out,
                size,
                num_batches=len(parts),
                loss=_row_loss,
                iterate_batches=lambda **_: map(_padded, parts),
            )
        append_progress(self.folder, "eval", step, self.total_steps, metrics=metrics)
        value = metrics.get("loss", -float(step))  # nothing held out: the newest is best
        value = value if math.isfinite(value) else math.inf
        if self.best is None or value < self.best.value:
            self.best = keep_best(self.folder, step, value, metrics, self._save_adapter)

    def _save_adapter(self, folder: Path) -> None:
        self.adapted.save(folder)
        self.adapted.model.eval()
        write_json(folder / PROBES, completion_logprobs(self.adapted.model, self.probes))

    def _save(self, step: int) -> None:
        """A checkpoint that a killed run goes on from; the one before it is removed."""
        target = self.folder / CHECKPOINTS / f"checkpoint-{step}"
        with new_folder(target) as stage:
            save_file(trainable(self.adapted.model), stage / _WEIGHTS)
            save_file(dict(tree_flatten(self._optimizer.state)), stage / _OPTIMIZER)
            seal(stage)
        for path in target.parent.glob("checkpoint-*"):
            if path != target:
                shutil.rmtree(path, ignore_errors=True)

    def _resume(self) -> int:
        """Load the newest whole checkpoint; returns its step, 0 where there is none."""
        found = latest_checkpoint(self.folder / CHECKPOINTS)
        if found is None:
            return 0
        self.adapted.model.load_weights(list(load_file(found / _WEIGHTS).items()), strict=False)
        self._optimizer.state = tree_unflatten(list(load_file(found / _OPTIMIZER).items()))
        return int(found.name.rpartition("-")[2])


class _Curves(TrainingCallback):
    """Takes mlx-lm's report of every optimizer step."""

    def __init__(self, trainer: MlxTrainer, first: int) -> None:
        self._trainer, self._first = trainer, first

    def on_train_loss_report(self, train_info: dict[str, float]) -> None:
        """One step's figures, counted from the part's first step."""
        passes = self._trainer.settings.gradient_accumulation_steps
        self._trainer.told(self._first + int(train_info["iteration"]) // passes, train_info)


class _ClippingAdamW(optimizers.AdamW):
    """AdamW as torch has it, with gradients of at most a norm; `state` holds the norm they came with."""

    def __init__(self, largest_norm: float, **options: Any) -> None:
        super().__init__(eps=1e-8, bias_correction=True, **options)
        self._largest_norm = largest_norm
        self.state["grad_norm"] = mx.array(0.0)

    def update(self, model: nn.Module, gradients: dict[str, Any]) -> None:
        """One step."""
        clipped, norm = optimizers.clip_grad_norm(gradients, self._largest_norm)
        super().update(model, clipped)
        self.state["grad_norm"] = norm


def _optimizer(settings: SftSettings, steps: int) -> _ClippingAdamW:
    factor = learning_rate_factor(settings, steps)
    rates = mx.array([settings.learning_rate * factor(step) for step in range(steps)])
    return _ClippingAdamW(
        settings.max_grad_norm,
        learning_rate=lambda step: rates[mx.minimum(step, steps - 1)],
        weight_decay=settings.weight_decay,
    )


def _completion_loss(
    model: nn.Module, ids_R_T: mx.array, spans_R_2: mx.array, weight: mx.array
) -> tuple[mx.array, mx.array]:
    """Weighted negative log-likelihood of the completion tokens, and their number.

    mlx-lm's own loss also counts the padding token after each row's end.
    """
    losses_R_T, trained_R_T = _token_losses(model, ids_R_T, spans_R_2)
    return losses_R_T.sum() * weight, trained_R_T.sum()


def _row_loss(model: nn.Module, ids_R_T: mx.array, spans_R_2: mx.array) -> tuple[mx.array, mx.array]:
    """Mean over rows of the mean loss of their tokens, and the number of rows."""
    losses_R_T, trained_R_T = _token_losses(model, ids_R_T, spans_R_2)
    return (losses_R_T.sum(1) / trained_R_T.sum(1)).mean(), mx.array(len(ids_R_T))


def _token_losses(model: nn.Module, ids_R_T: mx.array, spans_R_2: mx.array) -> tuple[mx.array, mx.array]:
    """Negative log-likelihood of what each position predicts, 0 outside the completions, and which are inside."""
    logits_R_T_V = model(ids_R_T[:, :-1]).astype(mx.float32)
    places_T = mx.arange(1, ids_R_T.shape[1])
    trained_R_T = (places_T >= spans_R_2[:, :1]) & (places_T < spans_R_2[:, 1:])
    return nn.losses.cross_entropy(logits_R_T_V, ids_R_T[:, 1:]) * trained_R_T, trained_R_T


def _padded(rows: Sequence[TokenGroup]) -> tuple[mx.array, mx.array]:
    """Rows of a prompt and its completion as ids (R, T), and where the completions begin and end (R, 2)."""
    steps = max(row.longest for row in rows) - 1
    width = 1 + math.ceil(steps / _PADDED_TO) * _PADDED_TO
    ids = [row.prompt + row.completions[0] + (0,) * (width - row.longest) for row in rows]
    return mx.array(ids), mx.array([(len(row.prompt), row.longest) for row in rows])
