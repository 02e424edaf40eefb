"""Online GRPO by TRL: its rows are prompts, its completions are its own, and our rewards score them."""

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl.trainer.grpo_config import GRPOConfig

from core.errors import DataError, TrainingError
from core.language.rollout import stop_tokens
from core.language.tokens import completion_text
from core.training.config import GrpoSettings
from core.training.data import GroupData, TrainingGroup
from core.training.rewarding import Reward, reward_of

WORTH = "worth"
"""The mean reward in its own units, as TRL is told to log it."""


def grpo_rows(data: GroupData, settings: GrpoSettings) -> tuple[Dataset, Dataset | None]:
    """The prompts, to train on and held out, each with its place among all groups. Raises: DataError."""
    if len(data.train) < settings.batch_size:
        raise DataError(
            f"TRL's grpo takes whole batches only, and there are {len(data.train)} prompts to train on: set "
            f"grpo.batch_size (now {settings.batch_size}) to that or less"
        )
    first = len(data.train)
    train = _prompts(data.train, 0)
    return train, _prompts(data.held_out, first) if data.held_out else None


def grpo_arguments(settings: GrpoSettings, values: dict[str, Any]) -> GRPOConfig:
    """Our settings in TRL's words: it counts a batch in completions."""
    groups = settings.batch_size // settings.gradient_accumulation_steps
    values |= {
        "per_device_train_batch_size": groups * settings.group_size,
        "per_device_eval_batch_size": groups * settings.group_size,
    }
    return GRPOConfig(
        **values,
        num_generations=settings.group_size,
        steps_per_generation=settings.gradient_accumulation_steps,
        num_iterations=settings.num_iterations,
        max_completion_length=settings.online.sampling.max_tokens,
        temperature=settings.online.sampling.temperature,
        beta=settings.beta,
        epsilon=settings.clip_range,
        scale_rewards="group" if settings.advantage_scale == "std" else "none",
        loss_type="grpo" if settings.loss_type == "sequence" else "bnpo",
        use_bias_correction_kl=False,  # the paper's KL, without a ratio
    )


def grpo_reward(
    settings: GrpoSettings, data: GroupData, model: Any, tokenizer: PreTrainedTokenizerBase
) -> Callable[..., list[float]]:
    """Our reward as TRL calls one: divided by `advantage_scale`, which TRL has no word for. Raises: ConfigError."""
    reward = reward_of(settings.online, str(tokenizer.eos_token or ""))
    groups, stops = (*data.train, *data.held_out), stop_tokens(model, tokenizer)
    scale = 1.0 if settings.advantage_scale == "std" else float(settings.advantage_scale)

    def text(ids: Sequence[int]) -> str:
        return completion_text(tokenizer, ids[:-1] if ids[-1] in stops else ids)

    def score(
        *,
        completion_ids: Sequence[Sequence[int]],
        place: Sequence[int],
        log_metric: Callable[..., None],
        **_: Any,
    ) -> list[float]:
        found: list[float] = []
        for number, drawn in groupby(zip(place, completion_ids, strict=True), key=lambda one: one[0]):
            found += _scores(groups[number], [text(ids) for _, ids in drawn], reward)
        log_metric(WORTH, sum(found) / len(found))
        return [value / scale for value in found]

    return score


def _prompts(groups: Sequence[TrainingGroup], first: int) -> Dataset:
    rows = [
        {"prompt": group.row.prompt if group.row else "", "place": place}
        for place, group in enumerate(groups, first)
    ]
    return Dataset.from_list(rows)


def _scores(group: TrainingGroup, texts: list[str], reward: Reward) -> list[float]:
    """Raises: TrainingError for a completion without a score: TRL would take it for worth nothing."""
    scores = reward(group.row, texts) if group.row else []
    if len(scores) < len(texts) or any(map(math.isnan, scores)):
        raise TrainingError(
            f"a completion of row {group.id} has no score, and TRL's grpo would count it as 0: give it one, or leave "
            "grpo.trainer at 'group'"
        )
    return scores
