"""Groups as the rows of TRL's trainers, with our own tokens: what they would do to text (an end token) is left out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from core.errors import DataError
from core.language.row import TokenGroup
from core.training.config import DpoSettings, KtoSettings, MethodSettings
from core.training.data import TrainingGroup
from core.training.pairs import desirable, preference_pairs

IGNORED = -100
"""The label of a token that no loss is computed on."""
NO_PARTNER = "no completion of another prompt to hold it against"


def trl_rows(
    groups: Sequence[TrainingGroup], settings: MethodSettings, left_out: Counter[str]
) -> Dataset | None:
    """A row for every completion (SFT, KTO) or pair (DPO); None without any. Raises: DataError."""
    if isinstance(settings, DpoSettings):
        rows = _pairs(groups, settings)
    elif isinstance(settings, KtoSettings):
        rows = _sides(groups, settings, left_out)
    else:
        rows = _demonstrations(groups)
    listed = list(rows)
    if isinstance(settings, KtoSettings):  # the only method whose order TRL leaves as it finds it
        listed = [listed[place] for place in np.random.default_rng(settings.seed).permutation(len(listed))]
    return Dataset.from_list(listed) if listed else None


def batched_groups(groups: Sequence[TrainingGroup], settings: MethodSettings) -> list[TrainingGroup]:
    """What TRL counts as one of a batch: a prompt with its pair (DPO), its completion (KTO, SFT) or all of them (GRPO)."""
    if isinstance(settings, DpoSettings):
        return [
            _with(group, group.tokens.completions[better], group.tokens.completions[worse])
            for group in groups
            for better, worse in preference_pairs(group.rewards, group.tokens.completions, settings)
        ]
    if isinstance(settings, KtoSettings):
        return [_with(group, own) for group in groups for own in _with_partner(group)]
    return list(groups)


def _with_partner(group: TrainingGroup) -> tuple[tuple[int, ...], ...]:
    """The completions of its own that a group has another prompt's for."""
    return group.tokens.completions[: min(group.own, group.mismatched)]


def _with(group: TrainingGroup, *completions: tuple[int, ...]) -> TrainingGroup:
    return TrainingGroup(group.id, TokenGroup(group.tokens.prompt, completions))


def _demonstrations(groups: Iterable[TrainingGroup]) -> Iterator[dict[str, Any]]:
    for group in groups:
        if len(group.tokens.completions) > 1:
            raise DataError(
                f"row {group.id} is a choice among {len(group.tokens.completions)} answers, and TRL's sft imitates one "
                "completion among all texts: leave sft.trainer at 'group'"
            )
        prompt, completion = list(group.tokens.prompt), list(group.tokens.completions[0])
        yield {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}


def _pairs(groups: Iterable[TrainingGroup], settings: DpoSettings) -> Iterator[dict[str, Any]]:
    for group in groups:
        completions = group.tokens.completions
        for better, worse in preference_pairs(group.rewards, completions, settings):
            yield {
                "prompt_ids": list(group.tokens.prompt),
                "chosen_ids": list(completions[better]),
                "rejected_ids": list(completions[worse]),
            }


def _sides(
    groups: Iterable[TrainingGroup], settings: KtoSettings, left_out: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Each completion beside one of another prompt; TRL itself takes that from the row before, whatever it answers."""
    for group in groups:
        own, others = group.tokens.completions[: group.own], group.tokens.completions[group.own :]
        if len(others) < len(own):
            left_out[NO_PARTNER] += len(own) - len(others)
        wanted = desirable(group.rewards, settings)
        for completion, other, label in zip(own, others, wanted, strict=False):
            yield {
                "prompt_ids": list(group.tokens.prompt),
                "completion_ids": list(completion),
                "KL_completion_ids": list(other),
                "label": label,
            }
