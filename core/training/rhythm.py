"""When a run looks at held-out groups, saves, and stops; and what it tells whom."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from core.training.trainer import GroupTrainer


class Log(Protocol):
    """Takes what was measured or decided."""

    def __call__(
        self,
        phase: Literal["train", "eval", "rollback"],
        step: int,
        total_steps: int,
        metrics: Mapping[str, float],
        said: str = "",
    ) -> None:
        """Figures at a step, and a sentence for a person where there is something to say."""


def is_due(step: int, every: int, updates: int) -> bool:
    """Whether to save after a step: as often as asked for, and never between the updates on one draw, which would be lost."""
    return step % updates == 0 and step // every > (step - updates) // every


class Rhythm(TrainerCallback):
    """The trainer's own rhythm, in place of the one of `TrainingArguments`."""

    def __init__(self, trainer: "GroupTrainer") -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The start is a checkpoint too: what a run goes back to before it has saved another."""
        del args, control
        if state.global_step == 0 and self.trainer.fresh:
            self.trainer.save_start()
        self.trainer.pace.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Log every step; look, and save, as often as the settings say and never where a draw would be lost."""
        del args
        settings, step = self.trainer.settings, state.global_step
        repeats = self.trainer.order.updates
        last = step >= state.max_steps
        control.should_log = True
        control.should_evaluate = last or step % settings.eval_every == 0
        control.should_save = not last and is_due(step, settings.save_every, repeats)
