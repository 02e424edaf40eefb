"""TRL's GRPOTrainer on logged groups, through `rollout_func`: its only door for completions that exist already."""

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl.trainer import grpo_trainer
from trl.trainer.grpo_config import GRPOConfig

from core.training.data import TrainingGroup


@dataclass(frozen=True, slots=True)
class Steps:
    """What some optimizer steps cost, and their losses."""

    cpu_seconds: float
    losses: list[float]


def drift(group: TrainingGroup) -> list[float]:
    """How far the old policy's log-probabilities are from the starting policy's, token by token."""
    stream = random.Random(group.id)
    return [stream.gauss(0, 0.3) for completion in group.tokens.completions for _ in completion]


@dataclass
class Clock(TrainerCallback):
    """CPU time from the begin of the first step to the end of the last, without TRL's setting up."""

    moments: list[float] = field(default_factory=list)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """A step begins: its groups are scored, then learned from."""
        self.moments.append(time.process_time())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The weights have moved."""
        self.moments.append(time.process_time())

    @property
    def spent(self) -> float:
        """CPU-seconds."""
        return self.moments[-1] - self.moments[0]


class LoggedGrpo(grpo_trainer.GRPOTrainer):
    """GRPO on groups that were logged by a policy some way off: each old log-probability drifts by a known amount."""

    logged: list[TrainingGroup]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        scored = super()._generate_and_score_completions(inputs)
        amounts = [amount for group in self.logged for amount in drift(group)]
        scored["old_per_token_logps"][scored["completion_mask"].bool()] += torch.tensor(amounts)
        return scored


def train_trl(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    groups: list[TrainingGroup],
    folder: Path,
    learning_rate: float,
) -> Steps:
    """One optimizer step a group, in the order given."""
    trainer = LoggedGrpo(
        model=model,
        reward_funcs=lambda worth, **_: worth,
        args=_arguments(groups, folder, learning_rate),
        train_dataset=Dataset.from_dict({"prompt": [str(index) for index in range(len(groups))]}),
        processing_class=tokenizer,
        rollout_func=lambda prompts, _: _rollout(prompts, groups),
    )
    trainer.logged = groups
    trainer.remove_callback(PrinterCallback)
    clock = Clock()
    trainer.add_callback(clock)
    with mock.patch.object(
        grpo_trainer, "shuffle_sequence_dict", lambda batch: batch
    ):  # groups stay together
        trainer.train()
    return Steps(clock.spent, [line["loss"] for line in trainer.state.log_history if "loss" in line])


def _rollout(prompts: list[str], groups: list[TrainingGroup]) -> dict[str, Any]:
    size = len(groups[0].rewards)
    chosen = [(groups[int(prompt)], index % size) for index, prompt in enumerate(prompts)]
    completions = [list(group.tokens.completions[place]) for group, place in chosen]
    return {
        "prompt_ids": [list(group.tokens.prompt) for group, _ in chosen],
        "completion_ids": completions,
        "logprobs": [[0.0] * len(completion) for completion in completions],
        "worth": [group.rewards[place] for group, place in chosen],
    }


def _arguments(groups: list[TrainingGroup], folder: Path, learning_rate: float) -> GRPOConfig:
    """Our settings in TRL's words, and its slower defaults (gradient checkpointing) off."""
    size = len(groups[0].rewards)
    return GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=size,
        num_generations=size,
        steps_per_generation=len(groups),
        max_completion_length=max(len(c) for group in groups for c in group.tokens.completions),
        max_steps=len(groups),
        learning_rate=learning_rate,
        lr_scheduler_type="constant",
        loss_type="grpo",
        beta=0.0,
        shuffle_dataset=False,
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
