"""What a training method is: a loss on a batch, what to look at on held-out groups, and which look is best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.training.batch import GroupBatch
from core.training.data import TrainingGroup
from core.training.losses import choice_logprobs, completion_sums

Loss = Callable[[Tensor, GroupBatch, int], tuple[Tensor, dict[str, float]]]
Look = Callable[[Tensor, GroupBatch], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class GroupMethod:
    """One way to learn from groups."""

    name: str
    loss: Loss
    """(token log-probabilities, batch, step) to the loss and what the curves show."""
    look: Look
    """(token log-probabilities, batch) to figures of each held-out group, (B,) each."""
    criterion: str
    """The held-out figure whose lowest mean is the best checkpoint."""
    needs_reference: bool
    needs_values: bool = False
    """Whether the batch carries what a value head expects at each prompt's end."""
    counted: Callable[[Sequence[TrainingGroup]], int] = len
    """How many things of these groups the loss is a mean over: passes and processes weigh by it."""


def policy(logprobs_N: Tensor, batch: GroupBatch) -> Tensor:
    """Log-probabilities of the completions of each group, renormalised over them: (B, G)."""
    sums_M = completion_sums(logprobs_N, batch.completion_N, len(batch.place_M))
    return choice_logprobs(batch.table(sums_M), batch.legal_B_G)


def log_ratios(logprobs_N: Tensor, batch: GroupBatch) -> Tensor:
    """Every completion's log pi - log pi_reference in nats, summed over its tokens: (M,)."""
    return completion_sums(logprobs_N - batch.reference_N, batch.completion_N, len(batch.place_M))


def right_side(margins: Tensor) -> Tensor:
    """1 where a margin is above 0, 0 below, and 1/2 where it is no more than rounding: what a coin would get."""
    decided = margins.abs() > ROUNDING
    return torch.where(decided, (margins > 0).float(), 0.5)


ROUNDING = 1e-4
"""Nats by which the same weights differ from themselves when rows are packed otherwise."""


def tokens_of(groups: Sequence[TrainingGroup]) -> int:
    """How many completion tokens groups have."""
    return sum(len(completion) for group in groups for completion in group.tokens.completions)


def completions_of(groups: Sequence[TrainingGroup]) -> int:
    """How many completions of their own groups have."""
    return sum(group.own for group in groups)
