"""When a run of TRL's looks at held-out rows, saves and tells; what it measures, in our words."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.training.checkpoints import Best, keep_best, read_best, seal
from core.training.config import GrpoSettings, MethodSettings
from core.training.diverged import diverged, no_number
from core.training.progress import append_progress
from core.training.rhythm import is_due

_WORDS: Mapping[str, Mapping[str, str]] = {
    "sft": {},
    "grpo": {
        "worth": "reward",
        "kl": "kl",
        "completions/mean_length": "length",
        "completions/clipped_ratio": "cut",
        "frac_reward_zero_std": "equal_rewards",
    },
    "dpo": {
        "rewards/accuracies": "accuracy",
        "rewards/margins": "margin",
        "rewards/chosen": "reward_chosen",
        "rewards/rejected": "reward_rejected",
    },
    "kto": {
        "kl": "reference_point",
        "rewards/chosen": "reward_desirable",
        "rewards/rejected": "reward_undesirable",
    },
}
"""By method: TRL's names for what our own trainer calls otherwise."""
_SHARED = ("loss", "grad_norm", "learning_rate", "entropy")
_HELD_OUT = "eval_"


class Rhythm(TrainerCallback):
    """The rhythm of our own trainer: the same lines in `progress.jsonl`, sealed checkpoints, the best one kept.

    Without held-out rows (`looks`) the newest weights are the best.
    """

    def __init__(self, settings: MethodSettings, folder: Path, model: PeftModel, *, looks: bool) -> None:
        self.settings, self.folder, self.model, self.looks = settings, folder, model, looks
        self.criterion = "negative_reward" if isinstance(settings, GrpoSettings) else "loss"
        self.best: Best | None = read_best(folder)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Decide what happens after this step."""
        del args
        last = state.global_step >= state.max_steps
        control.should_log = True
        control.should_evaluate = self.looks and (last or state.global_step % self.settings.eval_every == 0)
        repeats = self.settings.num_iterations if isinstance(self.settings, GrpoSettings) else 1
        control.should_save = not last and is_due(state.global_step, self.settings.save_every, repeats)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Write down what a step or a look measured. Raises: DivergedError."""
        del args, control
        logs: dict[str, float] = rest["logs"]
        if f"{_HELD_OUT}loss" in logs:
            append_progress(
                self.folder, "eval", state.global_step, state.max_steps, metrics=self._held_out(logs)
            )
        elif "loss" in logs:
            if (reason := no_number(state.global_step, logs)) is not None:
                raise diverged(reason, self.settings, self.folder, self.best)
            append_progress(
                self.folder, "train", state.global_step, state.max_steps, metrics=self._in_our_words(logs)
            )

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Keep the weights when their held-out loss is the lowest so far, or their reward the highest."""
        del args, control
        figures = self._held_out(rest["metrics"])
        value = figures[self.criterion] if math.isfinite(figures[self.criterion]) else math.inf
        if self.best is None or value < self.best.value:
            self.best = keep_best(self.folder, state.global_step, value, figures, self._save)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """From now on the checkpoint counts."""
        del control
        seal(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")

    def finish(self, step: int) -> None:
        """Where nothing was held out, the last weights are kept."""
        if not self.looks:
            self.best = keep_best(self.folder, step, -float(step), {}, self._save)

    def _held_out(self, logs: Mapping[str, float]) -> dict[str, float]:
        named = {name.removeprefix(_HELD_OUT): value for name, value in logs.items()}
        figures = self._in_our_words(named)
        if isinstance(self.settings, GrpoSettings):
            figures["negative_reward"] = -figures["reward"]
        return figures

    def _in_our_words(self, logs: Mapping[str, float]) -> dict[str, float]:
        words = {**_WORDS[self.settings.method], **{name: name for name in _SHARED}}
        return {words[name]: value for name, value in logs.items() if name in words}

    def _save(self, folder: Path) -> None:
        self.model.save_pretrained(str(folder), selected_adapters=["default"])
        (folder / "README.md").unlink(missing_ok=True)  # a template of PEFT's, with nothing filled in
