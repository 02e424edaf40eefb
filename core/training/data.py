"""Snapshot rows as token groups, and groups as the tensors of one batch."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from core.dataset import ScoredGroup, Snapshot, read_rows
from core.errors import DataError
from core.language.row import TokenGroup
from core.language.tokens import completion_tokens, prompt_tokens
from core.training.config import MethodSettings


@dataclass(frozen=True, slots=True)
class TrainingGroup:
    """One group ready for training: tokens, and what each completion was worth or how much to imitate it."""

    id: str
    tokens: TokenGroup
    rewards: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    """Log-probability of every completion token under the policy that training started from."""


@dataclass(frozen=True, slots=True)
class GroupData:
    """What training reads, what it is held to, and what was left out for which reason."""

    train: tuple[TrainingGroup, ...]
    held_out: tuple[TrainingGroup, ...]
    dropped: dict[str, int]

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with completion."""
        return max(group.tokens.longest for group in (*self.train, *self.held_out))


def load_groups(
    snapshot: Snapshot, tokenizer: PreTrainedTokenizerBase, settings: MethodSettings, context_length: int
) -> GroupData:
    """A snapshot's groups, tokenised; rows that can't be trained on are left out and counted.

    Raises: DataError when nothing is left to train on, or a row breaks the contract; SnapshotError.
    """
    train: list[TrainingGroup] = []
    held_out: list[TrainingGroup] = []
    dropped: Counter[str] = Counter()
    for values in read_rows(snapshot):
        row = _row(values, snapshot)
        group = _tokenise(row, tokenizer)
        reason = _unusable(row, group, settings, context_length)
        if reason:
            dropped[reason] += 1
        elif row.split == "train" and settings.method == "grpo" and len(set(group.rewards)) == 1:
            dropped["equal rewards"] += 1
        else:
            (train if row.split == "train" else held_out).append(group)
    if not train:
        raise DataError(
            f"{snapshot.path} leaves nothing to train on by {settings.method}: {snapshot.counts.get('rows', 0)} rows, "
            f"left out: {dict(dropped) or 'none'}; collect more rows, or look at the reward"
        )
    _one_shape(train + held_out, settings, snapshot)
    return GroupData(tuple(train), evenly(held_out, settings.eval_groups), dict(dropped))


def evenly(groups: Sequence[TrainingGroup], count: int) -> tuple[TrainingGroup, ...]:
    """At most `count` groups, spread evenly over all of them."""
    count = min(count, len(groups))
    return tuple(groups[place * len(groups) // count] for place in range(count))


@dataclass(frozen=True, slots=True)
class GroupBatch:
    """Several groups as tensors: N completion tokens, M completions, B groups of up to G completions."""

    groups: tuple[TrainingGroup, ...]
    completion_N: Tensor
    place_M: Tensor
    """Where each completion stands in a flattened (B, G) table."""
    legal_B_G: Tensor
    rewards_B_G: Tensor
    weights_B_G: Tensor
    reference_N: Tensor

    @classmethod
    def of(cls, groups: Sequence[TrainingGroup], device: torch.device | str = "cpu") -> Self:
        """Lay out groups on a device."""
        sizes = [len(group.tokens.completions) for group in groups]
        width = max(sizes)
        lengths = [len(completion) for group in groups for completion in group.tokens.completions]
        places = [b * width + g for b, size in enumerate(sizes) for g in range(size)]
        return cls(
            groups=tuple(groups),
            completion_N=torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)).to(device),
            place_M=torch.tensor(places, device=device),
            legal_B_G=(torch.arange(width) < torch.tensor(sizes)[:, None]).to(device),
            rewards_B_G=_padded((group.rewards for group in groups), width, device),
            weights_B_G=_padded((group.weights for group in groups), width, device),
            reference_N=torch.tensor([value for group in groups for value in group.reference], device=device),
        )

    @property
    def tokens(self) -> list[TokenGroup]:
        """What goes through the model."""
        return [group.tokens for group in self.groups]

    def table(self, values_M: Tensor) -> Tensor:
        """One value a completion, as a (B, G) table with 0 where there is no completion."""
        flat = values_M.new_zeros(self.legal_B_G.numel()).index_put((self.place_M,), values_M)
        return flat.view(self.legal_B_G.shape)

    def of_completions(self, table_B_G: Tensor) -> Tensor:
        """The other way: a (B, G) table's values, one a completion: (M,)."""
        return table_B_G.flatten()[self.place_M]


def _padded(rows: Iterable[tuple[float, ...]], width: int, device: torch.device | str) -> Tensor:
    return torch.tensor([[*row, *([0.0] * (width - len(row)))] for row in rows], device=device)


def _row(values: dict[str, object], snapshot: Snapshot) -> ScoredGroup:
    try:
        return ScoredGroup.model_validate(values)
    except ValidationError as error:
        raise DataError(
            f"{snapshot.path}: row {values.get('id', '?')} is no group of completions ({error.errors()[0]['msg']}): "
            "run the stage that writes it again"
        ) from error


def _tokenise(row: ScoredGroup, tokenizer: PreTrainedTokenizerBase) -> TrainingGroup:
    """Completions without a reward are left out of logged groups by the stage that writes them; here they are NaN."""
    tokens = TokenGroup(
        prompt_tokens(tokenizer, row.prompt),
        tuple(completion_tokens(tokenizer, completion) for completion in row.completions),
    )
    rewards = tuple(math.nan if reward is None else reward for reward in row.rewards)
    total = sum(row.weights)
    weights = (
        tuple(weight / total for weight in row.weights) if total > 0 else (1.0,) * (len(row.completions) == 1)
    )
    return TrainingGroup(row.id, tokens, rewards, weights)


def _unusable(
    row: ScoredGroup, group: TrainingGroup, settings: MethodSettings, context_length: int
) -> str | None:
    """Why a row can't be used, or None."""
    completions = group.tokens.completions
    if not group.tokens.prompt:
        return "empty prompt"
    if not all(completions):
        return "empty completion"
    if group.tokens.longest > context_length:
        return "longer than the context"
    if settings.method == "sft":
        return None if group.weights and min(row.weights, default=0) >= 0 else "no weights"
    if len(completions) < 2:
        return "one completion"
    if not group.rewards or not all(math.isfinite(reward) for reward in group.rewards):
        return "reward missing"
    if settings.estimator != "logged" and len(set(completions)) < len(completions):
        return "an answer twice"
    return None


def _one_shape(groups: list[TrainingGroup], settings: MethodSettings, snapshot: Snapshot) -> None:
    """SFT reads either single completions or choices: one loss is a mean over tokens, the other over groups."""
    single = {len(group.tokens.completions) == 1 for group in groups}
    if settings.method == "sft" and len(single) > 1:
        raise DataError(
            f"{snapshot.path} mixes single completions with choices among several: train them as two snapshots"
        )
