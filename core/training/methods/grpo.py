"""GRPO on scored groups: by the exact expectation over a choice, by draws from it, or on logged completions."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from core.training.batch import GroupBatch
from core.training.config import GrpoSettings
from core.training.data import TrainingGroup
from core.training.losses import advantages, choice_entropy, choice_kl, expected_advantage, grpo, k3
from core.training.methods.group_method import GroupMethod, Loss, completions_of, policy, tokens_of
from core.training.methods.online import drawn_curves, online_method


def grpo_method(settings: GrpoSettings) -> GroupMethod:
    """GRPO; the best checkpoint has the lowest held-out regret of the most probable answer."""
    losses: dict[str, Loss] = {
        "exact": _exact(settings),
        "sampled": _Sampled(settings),
        "logged": _logged(settings),
        "online": _online(settings),
    }
    if settings.estimator == "online":
        return online_method("grpo", losses["online"])
    return GroupMethod(
        "grpo",
        losses[settings.estimator],
        _look,
        criterion="regret_greedy",
        needs_reference=True,
        counted=_counted(settings),
    )


def _counted(settings: GrpoSettings) -> Callable[[Sequence[TrainingGroup]], int]:
    """Choices count as one each, whatever is drawn from them; logged completions as the loss's mean takes them."""
    if settings.estimator != "logged":
        return len
    return tokens_of if settings.loss_type == "token" else completions_of


def _look(logprobs_N: Tensor, batch: GroupBatch) -> dict[str, Tensor]:
    """Regret is the best reward of a group minus the reward of what the policy does."""
    logprobs_B_G = policy(logprobs_N, batch)
    best_B = batch.rewards_B_G.masked_fill(~batch.legal_B_G, float("-inf")).max(-1).values
    greedy_B = batch.rewards_B_G.gather(-1, logprobs_B_G.argmax(-1, keepdim=True))[:, 0]
    sampled_B = (logprobs_B_G.exp() * batch.rewards_B_G).sum(-1)
    return {
        "regret_greedy": best_B - greedy_B,
        "regret_sampled": best_B - sampled_B,
        "reward_greedy": greedy_B,
        "reward": sampled_B,
        "entropy": choice_entropy(logprobs_B_G),
        "kl": choice_kl(logprobs_B_G, policy(batch.reference_N, batch)),
    }


def _advantages(batch: GroupBatch, settings: GrpoSettings) -> Tensor:
    return advantages(batch.rewards_B_G, batch.legal_B_G, settings.advantage_scale, settings.std_floor)


def _curves(logprobs_B_G: Tensor, kl_B: Tensor, batch: GroupBatch) -> dict[str, float]:
    logprobs_B_G = logprobs_B_G.detach()
    return {
        "reward": (logprobs_B_G.exp() * batch.rewards_B_G).sum(-1).mean().item(),
        "entropy": choice_entropy(logprobs_B_G).mean().item(),
        "kl": kl_B.detach().mean().item(),
    }


def _exact(settings: GrpoSettings) -> Loss:
    def loss(logprobs_N: Tensor, batch: GroupBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        del step
        logprobs_B_G = policy(logprobs_N, batch)
        kl_B = choice_kl(logprobs_B_G, policy(batch.reference_N, batch))
        value = expected_advantage(logprobs_B_G, _advantages(batch, settings), kl_B, settings.beta)
        return value, _curves(logprobs_B_G, kl_B, batch)

    return loss


def _logged(settings: GrpoSettings) -> Loss:
    """The ratio is to the policy that drew the completions, the KL to the one training starts from."""

    def loss(logprobs_N: Tensor, batch: GroupBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        del step
        kl_N = k3(logprobs_N.detach(), batch.reference_N)
        return _clipped(logprobs_N, batch, settings), _curves(policy(logprobs_N, batch), kl_N, batch)

    return loss


def _online(settings: GrpoSettings) -> Loss:
    """The completions were drawn by the policy itself, a few updates ago at most."""

    def loss(logprobs_N: Tensor, batch: GroupBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        del step
        return _clipped(logprobs_N, batch, settings), drawn_curves(logprobs_N.detach(), batch)

    return loss


def _clipped(logprobs_N: Tensor, batch: GroupBatch, settings: GrpoSettings) -> Tensor:
    advantages_M = batch.of_completions(_advantages(batch, settings))
    return grpo(
        logprobs_N,
        batch.old_N,
        advantages_M[batch.completion_N],
        batch.completion_N,
        clip_range=settings.clip_range,
        loss_type=settings.loss_type,
        reference_N=batch.reference_N if settings.beta else None,
        beta=settings.beta,
    )


@dataclass(slots=True)
class _Sampled:
    """Answers drawn from the current policy, and kept for `num_iterations` updates."""

    settings: GrpoSettings
    draws: dict[str, tuple[int, list[int], Tensor]] = field(default_factory=dict)
    """For each group: which draw, the answers drawn, and their log-probabilities then."""

    def __call__(self, logprobs_N: Tensor, batch: GroupBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        logprobs_B_G = policy(logprobs_N, batch)
        reference_B_G = policy(batch.reference_N, batch)
        drawn_B_S, old_B_S = self._drawn(logprobs_B_G.detach(), batch, step // self.settings.num_iterations)
        rewards_B_S = batch.rewards_B_G.gather(-1, drawn_B_S)
        every_B_S = torch.ones_like(drawn_B_S, dtype=torch.bool)
        settings = self.settings
        value = grpo(
            logprobs_B_G.gather(-1, drawn_B_S).flatten(),
            old_B_S.flatten(),
            advantages(rewards_B_S, every_B_S, settings.advantage_scale, settings.std_floor).flatten(),
            torch.arange(drawn_B_S.numel(), device=drawn_B_S.device),
            clip_range=settings.clip_range,
            loss_type=settings.loss_type,
            reference_N=reference_B_G.gather(-1, drawn_B_S).flatten(),
            beta=settings.beta,
        )
        return value, _curves(logprobs_B_G, choice_kl(logprobs_B_G, reference_B_G), batch)

    def _drawn(self, logprobs_B_G: Tensor, batch: GroupBatch, draw: int) -> tuple[Tensor, Tensor]:
        rows = []
        for group, logprobs_G in zip(batch.groups, logprobs_B_G, strict=True):
            kept = self.draws.get(group.id)
            if kept is None or kept[0] != draw:
                answers = sample(logprobs_G, self.settings.group_size, (self.settings.seed, draw), group.id)
                kept = (draw, answers, logprobs_G[answers])
            rows.append(kept)
        self.draws = {group.id: row for group, row in zip(batch.groups, rows, strict=True)} | {
            key: row for key, row in self.draws.items() if row[0] == draw
        }
        drawn_B_S = torch.tensor([answers for _, answers, _ in rows], device=logprobs_B_G.device)
        return drawn_B_S, torch.stack([old_S for _, _, old_S in rows])


def sample(logprobs_G: Tensor, count: int, seed: tuple[int, ...], group_id: str) -> list[int]:
    """Draw answers; each group has a random stream of its own, so that a resumed run draws the same."""
    stream = int.from_bytes(hashlib.sha256(group_id.encode()).digest()[:8], "big")
    uniform_S = np.random.default_rng([*seed, stream]).random(count)
    cumulative_G = logprobs_G.cpu().double().exp().cumsum(-1).numpy()
    places = np.searchsorted(cumulative_G / cumulative_G[-1], uniform_S, side="right")
    return [int(place) for place in places]
