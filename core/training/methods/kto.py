"""KTO: every completion is desirable or not, against a reference point measured on mismatched completions."""

import torch
from torch import Tensor

from core.training.batch import GroupBatch
from core.training.config import KtoSettings
from core.training.methods.group_method import GroupMethod, completions_of, log_ratios, right_side
from core.training.pairs import desirable
from core.training.preference_losses import kto, kto_reference_point


def kto_method(settings: KtoSettings) -> GroupMethod:
    """KTO; the best checkpoint has the lowest held-out loss."""
    method = _Kto(settings)
    return GroupMethod(
        "kto", method.loss, method.look, criterion="loss", needs_reference=True, counted=completions_of
    )


class _Kto:
    def __init__(self, settings: KtoSettings) -> None:
        self.settings = settings

    def loss(self, logprobs_N: Tensor, batch: GroupBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """The mean over all completions of the batch, whichever group they come from.

        The reference point is that of the pass: of fewer completions where a step is spread over several.
        """
        del step
        losses_B_G, ratios_B_G, wanted_B_G, point = self._completions(logprobs_N, batch)
        legal_B_G = batch.legal_B_G
        sides_B_G = self._right(ratios_B_G, wanted_B_G, point)
        rewards_B_G = self.settings.beta * ratios_B_G.detach()
        return losses_B_G[legal_B_G].mean(), {
            "accuracy": sides_B_G[legal_B_G].mean().item(),
            "reference_point": point.item(),
            "reward_desirable": _mean(rewards_B_G[legal_B_G & wanted_B_G]),
            "reward_undesirable": _mean(rewards_B_G[legal_B_G & ~wanted_B_G]),
        }

    def look(self, logprobs_N: Tensor, batch: GroupBatch) -> dict[str, Tensor]:
        """Means over each group's completions; the reference point is that of the groups looked at together."""
        losses_B_G, ratios_B_G, wanted_B_G, point = self._completions(logprobs_N, batch)
        sides_B_G = self._right(ratios_B_G, wanted_B_G, point)
        count_B = batch.legal_B_G.sum(-1)
        figures = {"loss": losses_B_G, "accuracy": sides_B_G}
        means = {name: (of_B_G * batch.legal_B_G).sum(-1) / count_B for name, of_B_G in figures.items()}
        return means | {"reference_point": point.expand(len(batch.groups))}

    def _completions(self, logprobs_N: Tensor, batch: GroupBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Losses, log-ratios and what is desirable (B, G each), and the reference point in nats."""
        settings = self.settings
        ratios_B_G = batch.table(log_ratios(logprobs_N, batch))
        point = kto_reference_point(ratios_B_G[batch.mismatched_B_G])
        wanted_B_G = _desirable(batch, settings)
        losses_B_G = kto(
            ratios_B_G,
            wanted_B_G,
            point,
            beta=settings.beta,
            desirable_weight=settings.desirable_weight,
            undesirable_weight=settings.undesirable_weight,
        )
        return losses_B_G, ratios_B_G, wanted_B_G, point

    @staticmethod
    def _right(ratios_B_G: Tensor, wanted_B_G: Tensor, point: Tensor) -> Tensor:
        gains_B_G = ratios_B_G.detach() - point
        return right_side(torch.where(wanted_B_G, gains_B_G, -gains_B_G))


def _desirable(batch: GroupBatch, settings: KtoSettings) -> Tensor:
    """Which completions are desirable, as a table (B, G)."""
    width = batch.legal_B_G.shape[1]
    rows = [desirable(group.rewards, settings) for group in batch.groups]
    padded = [[*row, *([False] * (width - len(row)))] for row in rows]
    return torch.tensor(padded, device=batch.legal_B_G.device)


def _mean(values: Tensor) -> float:
    return values.mean().item() if values.numel() else float("nan")
