"""Supervised fine-tuning: imitate the completion, or the distribution over a choice."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.training.batch import GroupBatch
from core.training.data import TrainingGroup
from core.training.losses import choice_sft, completion_sums, sft
from core.training.methods.group_method import GroupMethod, policy, tokens_of


def sft_method() -> GroupMethod:
    """Imitation; the best checkpoint has the lowest held-out loss."""
    return GroupMethod("sft", _loss, _look, criterion="loss", needs_reference=False, counted=_counted)


def _counted(groups: Sequence[TrainingGroup]) -> int:
    """Tokens, or choices among several answers."""
    single = all(len(group.tokens.completions) == 1 for group in groups)
    return tokens_of(groups) if single else len(groups)


def _loss(logprobs_N: Tensor, batch: GroupBatch, step: int) -> tuple[Tensor, dict[str, float]]:
    del step
    if batch.legal_B_G.shape[1] == 1:
        return sft(logprobs_N), {}
    logprobs_B_G = policy(logprobs_N, batch)
    agreement_B = logprobs_B_G.argmax(-1) == batch.weights_B_G.argmax(-1)
    return choice_sft(logprobs_B_G, batch.weights_B_G), {"top1": agreement_B.float().mean().item()}


def _look(logprobs_N: Tensor, batch: GroupBatch) -> dict[str, Tensor]:
    if batch.legal_B_G.shape[1] == 1:
        lengths_M = completion_sums(torch.ones_like(logprobs_N), batch.completion_N, len(batch.place_M))
        return {"loss": -completion_sums(logprobs_N, batch.completion_N, len(batch.place_M)) / lengths_M}
    logprobs_B_G = policy(logprobs_N, batch)
    return {
        "loss": -(batch.weights_B_G * logprobs_B_G.masked_fill(~batch.legal_B_G, 0.0)).sum(-1),
        "top1": (logprobs_B_G.argmax(-1) == batch.weights_B_G.argmax(-1)).float(),
    }
