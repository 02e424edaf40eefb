"""PPO's advantages and its value loss, as pure functions; its policy loss is `losses.clipped_surrogate`.

S counts sessions, T the decisions of the longest one, D decisions of a batch; rewards and values are in the same unit.
"""

import torch
from torch import Tensor


def gae(
    rewards_S_T: Tensor, values_S_T: Tensor, last_S: Tensor, legal_S_T: Tensor, *, gamma: float, lam: float
) -> Tensor:
    """Generalised advantage estimates: Schulman et al. 2016, arXiv:1506.02438, eq. 16, over a session's decisions.

    delta_t = r_t + gamma V(s_t+1) - V(s_t), and the advantage is their sum discounted by gamma lam. `last_S` is the value
    of what follows a session's last decision: 0 where the session is over. `legal_S_T` marks the decisions there are, the
    first ones of each row; 0 elsewhere.
    """
    advantages_S_T = torch.zeros_like(rewards_S_T)
    next_value_S, next_advantage_S = last_S, torch.zeros_like(last_S)
    for step in range(rewards_S_T.shape[1] - 1, -1, -1):
        legal_S = legal_S_T[:, step]
        delta_S = rewards_S_T[:, step] + gamma * next_value_S - values_S_T[:, step]
        advantage_S = delta_S + gamma * lam * next_advantage_S
        next_value_S = torch.where(legal_S, values_S_T[:, step], next_value_S)
        next_advantage_S = torch.where(legal_S, advantage_S, next_advantage_S)
        advantages_S_T[:, step] = advantage_S.masked_fill(~legal_S, 0.0)
    return advantages_S_T


def ppo_value(
    values_D: Tensor, returns_D: Tensor, old_D: Tensor, *, clip_range: float | None = None
) -> Tensor:
    """The value loss: the squared error of Schulman et al. 2017, eq. 9; a scalar, in the square of the values' unit.

    With `clip_range` (in the values' unit) a value may move only that far from the old one before its gradient ends: the
    larger of the two errors, as in OpenAI's baselines. Not from the paper; None leaves it out.
    """
    errors_D = (values_D - returns_D).square()
    if clip_range is not None:
        clipped_D = old_D + (values_D - old_D).clamp(-clip_range, clip_range)
        errors_D = torch.maximum(errors_D, (clipped_D - returns_D).square())
    return errors_D.mean()
