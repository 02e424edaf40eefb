"""DPO and its variants: pairs from each group's rewards, every completion computed once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.training.batch import GroupBatch
from core.training.config import DpoSettings
from core.training.data import TrainingGroup
from core.training.losses import completion_means
from core.training.methods.group_method import GroupMethod, log_ratios, right_side
from core.training.pairs import preference_pairs
from core.training.preference_losses import dpo, ipo, robust_dpo


def dpo_method(settings: DpoSettings) -> GroupMethod:
    """DPO; the best checkpoint has the lowest held-out loss."""
    method = _Dpo(settings)
    return GroupMethod(
        "dpo", method.loss, method.look, criterion="loss", needs_reference=True, counted=method.counted
    )


class _Dpo:
    def __init__(self, settings: DpoSettings) -> None:
        self.settings = settings

    def loss(self, logprobs_N: Tensor, batch: GroupBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """The mean over all pairs of the batch, whichever group they come from."""
        del step
        losses_P, ratios_M, pairs_P_2, _ = self._pairs(logprobs_N, batch)
        ratios_P_2 = ratios_M.detach()[pairs_P_2]
        margins_P = ratios_P_2[:, 0] - ratios_P_2[:, 1]
        beta = self.settings.beta
        return losses_P.mean(), {
            "accuracy": right_side(margins_P).mean().item(),
            "margin": beta * margins_P.mean().item(),
            "reward_chosen": beta * ratios_P_2[:, 0].mean().item(),
            "reward_rejected": beta * ratios_P_2[:, 1].mean().item(),
        }

    def look(self, logprobs_N: Tensor, batch: GroupBatch) -> dict[str, Tensor]:
        """Means over each group's pairs; accuracy is of the implicit reward, margin in its units (beta nats)."""
        losses_P, ratios_M, pairs_P_2, group_P = self._pairs(logprobs_N, batch)
        margins_P = ratios_M[pairs_P_2[:, 0]] - ratios_M[pairs_P_2[:, 1]]
        return {
            "loss": completion_means(losses_P, group_P),
            "accuracy": completion_means(right_side(margins_P), group_P),
            "margin": completion_means(self.settings.beta * margins_P, group_P),
        }

    def counted(self, groups: Sequence[TrainingGroup]) -> int:
        """Pairs."""
        return sum(
            len(preference_pairs(group.rewards, group.tokens.completions, self.settings)) for group in groups
        )

    def _pairs(self, logprobs_N: Tensor, batch: GroupBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each pair's loss (P,), log-ratios (M,), each pair's completions among the M (P, 2), and its group (P,)."""
        pairs_P_2, group_P = _places(batch, self.settings)
        ratios_M = log_ratios(logprobs_N, batch)
        beta, smoothing = self.settings.beta, self.settings.label_smoothing
        compared_M = ratios_M
        if self.settings.loss_type == "ipo":
            compared_M = completion_means(logprobs_N - batch.reference_N, batch.completion_N)
        margins_P = compared_M[pairs_P_2[:, 0]] - compared_M[pairs_P_2[:, 1]]
        if self.settings.loss_type == "ipo":
            losses_P = ipo(margins_P, beta=beta)
        elif self.settings.loss_type == "robust":
            losses_P = robust_dpo(margins_P, beta=beta, label_smoothing=smoothing)
        else:
            losses_P = dpo(margins_P, beta=beta, label_smoothing=smoothing)
        if self.settings.nll_weight:
            means_M = completion_means(logprobs_N, batch.completion_N)
            losses_P = losses_P - self.settings.nll_weight * means_M[pairs_P_2[:, 0]]
        return losses_P, ratios_M, pairs_P_2, group_P


def _places(batch: GroupBatch, settings: DpoSettings) -> tuple[Tensor, Tensor]:
    """The better and the worse completion of every pair, numbered over the batch (P, 2), and the pair's group (P,)."""
    places, groups, first = [], [], 0
    for number, group in enumerate(batch.groups):
        for better, worse in preference_pairs(group.rewards, group.tokens.completions, settings):
            places.append((first + better, first + worse))
            groups.append(number)
        first += len(group.tokens.completions)
    device = batch.place_M.device
    return torch.tensor(places, device=device), torch.tensor(groups, device=device)
