"""Losses on preferences, as pure functions of log-ratios.

A log-ratio is log pi(completion | prompt) - log pi_reference(completion | prompt), in nats: summed over the completion's
tokens, or their mean where that is said. M counts completions, P pairs. A pair may share completions with other pairs:
each completion's log-ratio is computed once.
"""

import torch
from torch import Tensor
from torch.nn import functional


def dpo(margins_P: Tensor, *, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Direct preference optimisation: Rafailov et al. 2023, arXiv:2305.18290, eq. 7; one loss a pair (P,).

    `margins_P` is the log-ratio of the better completion minus that of the worse. `label_smoothing` is the share of
    pairs that are taken to be the wrong way round: the cross-entropy of Mitchell 2023, "A note on DPO with noisy
    preferences" (cDPO). 0 is the paper's loss.
    """
    right_P, wrong_P = functional.logsigmoid(beta * margins_P), functional.logsigmoid(-beta * margins_P)
    return -(1 - label_smoothing) * right_P - label_smoothing * wrong_P


def robust_dpo(margins_P: Tensor, *, beta: float, label_smoothing: float) -> Tensor:
    """DPO whose expectation under flipped labels is DPO's on the true ones; one loss a pair (P,).

    Ray Chowdhury et al. 2024, arXiv:2403.00409. `label_smoothing` is the share of flipped pairs, below 1/2.
    """
    right_P, wrong_P = functional.logsigmoid(beta * margins_P), functional.logsigmoid(-beta * margins_P)
    return -((1 - label_smoothing) * right_P - label_smoothing * wrong_P) / (1 - 2 * label_smoothing)


def ipo(margins_P: Tensor, *, beta: float) -> Tensor:
    """Identity preference optimisation: Azar et al. 2023, arXiv:2310.12036, eq. 17; one loss a pair (P,).

    `beta` is the paper's tau. `margins_P` is a difference of log-ratios that are *means over each completion's tokens*,
    as in TRL: with sums the target 1 / (2 tau) would ask the same of one token as of a hundred.
    """
    return (margins_P - 1 / (2 * beta)).square()


def kto(
    ratios_M: Tensor,
    desirable_M: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Kahneman-Tversky optimisation: Ethayarajh et al. 2024, arXiv:2402.01306, eq. 7-8; one loss a completion (M,).

    lambda - v of the paper: how far a completion's value is from its best. `reference_point` is z0 of
    `kto_reference_point`; `desirable_M` is a boolean for each completion.
    """
    gains_M = torch.where(desirable_M, ratios_M - reference_point, reference_point - ratios_M)
    weights_M = torch.where(desirable_M, desirable_weight, undesirable_weight)
    return weights_M * (1 - functional.sigmoid(beta * gains_M))


def kto_reference_point(mismatched_ratios: Tensor) -> Tensor:
    """z0, an estimate of KL(policy || reference) in nats that no gradient flows through: a scalar, never negative.

    The mean log-ratio of completions after prompts they do not belong to (section 4.1 of the paper); 0 without any.
    """
    if mismatched_ratios.numel() == 0:
        return mismatched_ratios.new_zeros(())
    return mismatched_ratios.detach().mean().clamp(min=0)
