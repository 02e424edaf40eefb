"""Where a training run's completions come from: its own model, or a server."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerBase

from core.language.endpoint import ServedPolicy
from core.language.rollout import Rollout, rollouts, stop_tokens
from core.language.sampling import RolloutBackend, SamplingSettings, VllmRollouts
from core.language.tree import Tokens


class RolloutSource(Protocol):
    """Draws `count` completions of each prompt; `choices` are each prompt's legal answers, if it is a choice."""

    def __call__(
        self,
        prompts: Sequence[Tokens],
        count: int,
        *,
        seeds: Sequence[int],
        choices: Sequence[Sequence[Tokens]] | None = None,
    ) -> list[Rollout]:
        """Raises: ConfigError, DataError, ModelError, ServiceError."""


def rollout_source(
    backend: RolloutBackend,
    settings: SamplingSettings,
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
) -> RolloutSource:
    """What a config names. Raises: ConfigError for sampling that the backend can't do."""
    if isinstance(backend, VllmRollouts):
        config: Any = getattr(model, "module", model).config
        stops = stop_tokens(model, tokenizer)
        return ServedPolicy(backend, settings, stops=stops, vocabulary=config.vocab_size).rollouts
    return partial(_of_model, model, tokenizer, settings)


def _of_model(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    settings: SamplingSettings,
    prompts: Sequence[Tokens],
    count: int,
    *,
    seeds: Sequence[int],
    choices: Sequence[Sequence[Tokens]] | None = None,
) -> list[Rollout]:
    return rollouts(model, tokenizer, prompts, count, settings, seeds=seeds, choices=choices)
