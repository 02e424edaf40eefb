"""Optimizer steps of online GRPO by us and by TRL's GRPOTrainer: completions drawn, scored and learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from benchmarks.steps import Clock
from core.dataset import ScoredGroup
from core.language.row import TokenGroup
from core.language.sampling import SamplingSettings
from core.language.tree import Tokens
from core.training.adapter import compute_in_model_type
from core.training.config import GrpoSettings, OnlineSettings
from core.training.data import GroupData, TrainingGroup
from core.training.drawing import draws_of
from core.training.methods import method_of
from core.training.trainer import GroupTrainer

ONLINE = GrpoSettings(
    estimator="online",
    group_size=8,
    online=OnlineSettings(
        sampling=SamplingSettings(max_tokens=24), reward=f"{__name__}:worth", train_cut=True
    ),
    batch_size=1,
    beta=0,
    advantage_scale="std",
    std_floor=1e-4,
    learning_rate=1e-4,
    scheduler="constant",
    warmup_ratio=0,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step took, and how many tokens were drawn in it."""

    cpu_seconds: float
    tokens: float


def worth(_prompt: str, completions: Sequence[str], _metadata: Any) -> list[float | None]:
    """A reward that costs nothing and is hardly ever equal."""
    return [sum(map(ord, text)) % 97 / 97 for text in completions]


def our_step(model: PeftModel, tokenizer: PreTrainedTokenizerBase, prompt: Tokens, folder: Path) -> Cost:
    """One step of GroupTrainer on one prompt."""
    folder.mkdir(parents=True)
    compute_in_model_type(model)
    group = TrainingGroup(id="0", tokens=TokenGroup(prompt, ()), row=ScoredGroup(id="0", prompt="0"))
    lengths: list[float] = []

    def log(phase: str, step: int, total_steps: int, metrics: Any, said: str = "") -> None:
        del step, total_steps, said
        if phase == "train":
            lengths.append(metrics["length"])

    clock = Clock()
    trainer = GroupTrainer(
        model,
        method=method_of(ONLINE),
        settings=ONLINE,
        train=(group,),
        held_out=(),
        folder=folder,
        log=log,
        draws=draws_of(ONLINE, model, tokenizer, GroupData((group,), (), {})),
    )
    trainer.add_callback(clock)
    trainer.train()
    return Cost(clock.spent, ONLINE.group_size * sum(lengths))


class _OfTokens(GRPOTrainer):
    """GRPO on a prompt of token ids; its text is only a name."""

    tokens: Tokens

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [list(self.tokens) for _ in prompts], None, {}


def trl_step(model: PeftModel, tokenizer: PreTrainedTokenizerBase, prompt: Tokens, folder: Path) -> Cost:
    """One step of GRPOTrainer on one prompt, with its slower defaults (gradient checkpointing) off."""
    trainer = _OfTokens(
        model=model,
        reward_funcs=lambda completions, **_: worth("", completions, None),
        args=GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=ONLINE.group_size,
            num_generations=ONLINE.group_size,
            steps_per_generation=1,
            max_completion_length=ONLINE.online.sampling.max_tokens,
            temperature=1.0,
            max_steps=1,
            learning_rate=ONLINE.learning_rate,
            lr_scheduler_type="constant",
            loss_type="grpo",
            beta=0.0,
            use_cpu=True,
            bf16=False,  # the weights themselves are bf16 where that is raced
            activation_checkpointing=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["0"]}),
        processing_class=tokenizer,
    )
    trainer.tokens = prompt
    trainer.remove_callback(PrinterCallback)
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    (length,) = [line["completions/mean_length"] for line in trainer.state.log_history if "loss" in line]
    return Cost(clock.spent, ONLINE.group_size * length)
