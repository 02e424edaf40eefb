"""PPO on logged decisions: the clipped objective for the policy, a squared error for the value head."""

import torch
from torch import Tensor

from core.training.actor_critic import ppo_value
from core.training.batch import GroupBatch
from core.training.config import PpoSettings
from core.training.data import Decision
from core.training.losses import clipped_surrogate, completion_means, k3
from core.training.methods.group_method import GroupMethod
from core.training.methods.online import drawn_curves, online_method


def ppo_method(settings: PpoSettings) -> GroupMethod:
    """PPO; the best checkpoint has the lowest held-out policy loss: the highest expected advantage, clipped."""
    method = _Ppo(settings)
    if settings.source == "online":
        return online_method("ppo", method.loss, needs_values=True)
    return GroupMethod(
        "ppo", method.loss, method.look, criterion="loss", needs_reference=True, needs_values=True
    )


class _Ppo:
    """Groups are single decisions; the ratio is to the policy that drew them, the KL to the one training starts from."""

    def __init__(self, settings: PpoSettings) -> None:
        self.settings = settings

    def loss(self, logprobs_N: Tensor, batch: GroupBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Eq. 9 of Schulman et al. 2017 without the entropy: means over the decisions of the batch.

        Values and their targets are in units of the value head's scale, so that neither the value's weight against the
        policy nor the clip depends on what rewards are counted in.
        """
        del step
        policy = self._policy(logprobs_N, batch).mean()
        settings, scale = self.settings, batch.value_scale
        targets_B, old_B = _of_decisions(batch, "target") / scale, _of_decisions(batch, "value") / scale
        value = ppo_value(_values(batch) / scale, targets_B, old_B, clip_range=settings.value_clip_range)
        shift_N = logprobs_N.detach() - batch.old_N
        return policy + settings.value_coefficient * value, {
            "policy_loss": policy.item(),
            "value_loss": value.item(),
            "clipped": (shift_N.expm1().abs() > settings.clip_range).float().mean().item(),
            **drawn_curves(logprobs_N.detach(), batch),
        }

    def look(self, logprobs_N: Tensor, batch: GroupBatch) -> dict[str, Tensor]:
        """The policy's loss, the value's squared error (in units of its scale) and the KL (k3) of each decision."""
        errors_B = ((_values(batch) - _of_decisions(batch, "target")) / batch.value_scale).square()
        return {
            "loss": self._policy(logprobs_N, batch),
            "value_loss": errors_B,
            "kl": completion_means(k3(logprobs_N, batch.reference_N), batch.completion_N),
        }

    def _policy(self, logprobs_N: Tensor, batch: GroupBatch) -> Tensor:
        """Each decision's loss, the mean over its tokens: (B,)."""
        advantages_N = _of_decisions(batch, "advantage")[batch.completion_N]
        loss_N = clipped_surrogate(logprobs_N, batch.old_N, advantages_N, self.settings.clip_range)
        return completion_means(loss_N, batch.completion_N)


def _values(batch: GroupBatch) -> Tensor:
    if batch.values_B is None:
        raise ValueError("a batch for PPO comes with the values of its prompts")
    return batch.values_B


def _of_decisions(batch: GroupBatch, name: str) -> Tensor:
    figures = [getattr(group.decision or Decision("", 0), name) for group in batch.groups]
    return torch.tensor(figures, device=batch.place_M.device)
