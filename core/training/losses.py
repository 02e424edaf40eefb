"""Losses on groups, as pure functions of log-probabilities.

N counts completion tokens, M completions, B choices of up to G answers (padded; `legal_B_G` marks the real ones).
"""

from typing import Literal

import torch
from torch import Tensor


def sft(logprobs_N: Tensor) -> Tensor:
    """Mean negative log-likelihood of the completion tokens (in nats)."""
    return -logprobs_N.mean()


def choice_logprobs(sums_B_G: Tensor, legal_B_G: Tensor) -> Tensor:
    """The policy of a choice: log-probabilities of the legal answers, renormalised over them; -inf elsewhere."""
    return sums_B_G.masked_fill(~legal_B_G, float("-inf")).log_softmax(-1)


def choice_sft(logprobs_B_G: Tensor, targets_B_G: Tensor) -> Tensor:
    """Cross-entropy of the policy against a distribution over the answers, one-hot or soft: mean over B."""
    return -(targets_B_G * _finite(logprobs_B_G)).sum(-1).mean()


def choice_entropy(logprobs_B_G: Tensor) -> Tensor:
    """Entropy of each choice in nats: (B,)."""
    return -(logprobs_B_G.exp() * _finite(logprobs_B_G)).sum(-1)


def choice_kl(logprobs_B_G: Tensor, reference_B_G: Tensor) -> Tensor:
    """Exact KL(policy || reference) of each choice in nats: (B,)."""
    return (logprobs_B_G.exp() * (_finite(logprobs_B_G) - _finite(reference_B_G))).sum(-1)


def expected_advantage(logprobs_B_G: Tensor, advantages_B_G: Tensor, kl_B: Tensor, beta: float) -> Tensor:
    """GRPO without sampling: the exact expectation of the advantage under the policy, minus beta times the KL.

    With all G answers scored, the sum over them replaces the mean over draws in eq. 3 of Shao et al. 2024
    (arXiv:2402.03300); on-policy, the ratio is 1 and the clip does nothing. Advantages are of the rewards, not of
    the policy: adding a constant to a row changes the loss and not its gradient.
    """
    return (beta * kl_B - (logprobs_B_G.exp() * advantages_B_G).sum(-1)).mean()


def grpo(
    logprobs_N: Tensor,
    old_N: Tensor,
    advantages_N: Tensor,
    completion_N: Tensor,
    *,
    clip_range: float,
    loss_type: Literal["sequence", "token"],
    reference_N: Tensor | None = None,
    beta: float = 0.0,
) -> Tensor:
    """Clipped policy gradient on groups: Shao et al. 2024, arXiv:2402.03300, eq. 3 with the k3 KL of eq. 4.

    `completion_N` numbers each token's completion, from 0. 'sequence' is the paper's mean over a completion's tokens
    and then over completions; 'token' is one mean over all tokens (Yu et al. 2025, arXiv:2503.14476, eq. 8).
    """
    loss_N = clipped_surrogate(logprobs_N, old_N, advantages_N, clip_range)
    if reference_N is not None and beta:
        loss_N = loss_N + beta * k3(logprobs_N, reference_N)
    if loss_type == "token":
        return loss_N.mean()
    return completion_means(loss_N, completion_N).mean()


def clipped_surrogate(logprobs_N: Tensor, old_N: Tensor, advantages_N: Tensor, clip_range: float) -> Tensor:
    """PPO's clipped objective as a loss of each token (N,): Schulman et al. 2017, arXiv:1707.06347, eq. 7.

    `old_N` are the log-probabilities under the policy that drew the tokens.
    """
    ratio_N = (logprobs_N - old_N).exp()
    clipped_N = ratio_N.clamp(1 - clip_range, 1 + clip_range)
    return -torch.minimum(ratio_N * advantages_N, clipped_N * advantages_N)


def k3(logprobs_N: Tensor, reference_N: Tensor) -> Tensor:
    """Per-token estimate of KL(policy || reference) from a draw of the policy, never negative.

    Schulman 2020, "Approximating KL divergence", estimator k3; eq. 4 of Shao et al. 2024.
    """
    difference_N = reference_N - logprobs_N
    return difference_N.exp() - difference_N - 1


def advantages(
    rewards_B_G: Tensor, legal_B_G: Tensor, scale: float | Literal["std"], std_floor: float
) -> Tensor:
    """Rewards minus their group's mean, divided by a constant or by the group's standard deviation + floor.

    Sample standard deviation (n - 1), as in TRL; 0 where there is no completion.
    """
    count_B_1 = legal_B_G.sum(-1, keepdim=True)
    rewards_B_G = rewards_B_G.masked_fill(~legal_B_G, 0.0)
    mean_B_1 = rewards_B_G.sum(-1, keepdim=True) / count_B_1
    centred_B_G = (rewards_B_G - mean_B_1).masked_fill(~legal_B_G, 0.0)
    if scale != "std":
        return centred_B_G / scale
    variance_B_1 = centred_B_G.square().sum(-1, keepdim=True) / (count_B_1 - 1).clamp(min=1)
    return centred_B_G / (variance_B_1.sqrt() + std_floor)


def completion_sums(values_N: Tensor, completion_N: Tensor, completions: int) -> Tensor:
    """Sum of each completion's tokens: (M,)."""
    return values_N.new_zeros(completions).index_add(0, completion_N, values_N)


def completion_means(values_N: Tensor, completion_N: Tensor) -> Tensor:
    """Mean of each completion's tokens: (M,); completions are numbered from 0 and none is empty."""
    completions = int(completion_N.max()) + 1
    lengths_M = completion_sums(torch.ones_like(values_N), completion_N, completions)
    return completion_sums(values_N, completion_N, completions) / lengths_M


def _finite(logprobs: Tensor) -> Tensor:
    """An answer that isn't legal has probability 0; it must add 0 to a sum, and not 0 times infinity."""
    return logprobs.masked_fill(logprobs == float("-inf"), 0.0)
