"""TRL's side of a race: its own trainers on our groups, step by step in our order, and what that cost.

TRL's slower defaults (gradient checkpointing) are off. Its data pipeline gets token ids, and its GRPOTrainer gets logged
completions through `rollout_func`, its only door for completions that exist already.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, PrinterCallback, Trainer
from trl.trainer import grpo_trainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from benchmarks.steps import Clock, Steps, drift
from core.training.config import DpoSettings, GrpoSettings, MethodSettings, SftSettings
from core.training.data import TrainingGroup
from core.training.pairs import preference_pairs


def train_trl(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    groups: Sequence[TrainingGroup],
    settings: MethodSettings,
    folder: Path,
) -> Steps:
    """One optimizer step for every `batch_size` groups, in the order given."""
    trainer = _MAKERS[settings.method](model, tokenizer, groups, settings, folder)
    trainer.remove_callback(PrinterCallback)
    clock = Clock()
    trainer.add_callback(clock)
    with mock.patch.object(
        grpo_trainer, "shuffle_sequence_dict", lambda batch: batch
    ):  # groups stay together
        trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    return Steps(clock.spent, [line["loss"] for line in lines], [line["grad_norm"] for line in lines])


def _common(settings: MethodSettings, folder: Path, steps: int) -> dict[str, Any]:
    """What all of TRL's configs are told: our settings in transformers' words."""
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "train_sampling_strategy": "sequential",
        "logging_steps": 1,
        "use_cpu": True,
        "bf16": False,  # the weights themselves are bf16 where that is raced
        "activation_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def _sft(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    groups: Sequence[TrainingGroup],
    settings: SftSettings,
    folder: Path,
) -> Trainer:
    texts = [(list(group.tokens.prompt), list(group.tokens.completions[0])) for group in groups]
    rows = [
        {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}
        for prompt, completion in texts
    ]
    return SFTTrainer(
        model=model,
        args=SFTConfig(
            per_device_train_batch_size=settings.batch_size,
            **_common(settings, folder, len(groups) // settings.batch_size),
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


class _TokenPairs(DPOTrainer):
    """DPO on rows that are token ids already."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def _dpo(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    groups: Sequence[TrainingGroup],
    settings: DpoSettings,
    folder: Path,
) -> Trainer:
    rows = [
        {
            "prompt_ids": list(group.tokens.prompt),
            "chosen_ids": list(group.tokens.completions[better]),
            "rejected_ids": list(group.tokens.completions[worse]),
        }
        for group in groups
        for better, worse in preference_pairs(group.rewards, group.tokens.completions, settings)
    ]
    steps = len(groups) // settings.batch_size
    return _TokenPairs(
        model=model,
        args=DPOConfig(
            per_device_train_batch_size=len(rows) // steps,
            beta=settings.beta,
            **_common(settings, folder, steps),
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


class _LoggedGrpo(grpo_trainer.GRPOTrainer):
    """GRPO on groups that were logged by a policy some way off: each old log-probability drifts by a known amount."""

    logged: Sequence[TrainingGroup]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        scored = super()._generate_and_score_completions(inputs)
        amounts = torch.tensor([amount for group in self.logged for amount in drift(group)])
        for name in ("old_per_token_logps", "ref_per_token_logps"):
            if name in scored:
                scored[name][scored["completion_mask"].bool()] += amounts
        return scored


def _grpo(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    groups: Sequence[TrainingGroup],
    settings: GrpoSettings,
    folder: Path,
) -> Trainer:
    trainer = _LoggedGrpo(
        model=model,
        reward_funcs=lambda worth, **_: worth,
        args=_grpo_arguments(groups, settings, folder),
        train_dataset=Dataset.from_dict({"prompt": [str(index) for index in range(len(groups))]}),
        processing_class=tokenizer,
        rollout_func=lambda prompts, _: _rollout(prompts, groups),
    )
    trainer.logged = groups
    return trainer


def _rollout(prompts: list[str], groups: Sequence[TrainingGroup]) -> dict[str, Any]:
    size = len(groups[0].rewards)
    chosen = [(groups[int(prompt)], index % size) for index, prompt in enumerate(prompts)]
    completions = [list(group.tokens.completions[place]) for group, place in chosen]
    return {
        "prompt_ids": [list(group.tokens.prompt) for group, _ in chosen],
        "completion_ids": completions,
        "logprobs": [[0.0] * len(completion) for completion in completions],
        "worth": [group.rewards[place] for group, place in chosen],
    }


def _grpo_arguments(groups: Sequence[TrainingGroup], settings: GrpoSettings, folder: Path) -> GRPOConfig:
    size = len(groups[0].rewards)
    return GRPOConfig(
        per_device_train_batch_size=size,
        num_generations=size,
        steps_per_generation=len(groups),
        num_iterations=2 if len(groups) == 1 else 1,  # with 1 the old log-probabilities would not be computed
        max_completion_length=max(len(c) for group in groups for c in group.tokens.completions),
        loss_type="grpo",
        beta=settings.beta,
        use_bias_correction_kl=False,  # the paper's KL, as ours
        shuffle_dataset=False,
        **_common(settings, folder, len(groups)),
    )


_MAKERS: Mapping[str, Callable[..., Trainer]] = {"grpo": _grpo, "dpo": _dpo, "sft": _sft}
