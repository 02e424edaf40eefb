"""What methods have in common whose completions the policy draws itself."""

from torch import Tensor

from core.training.batch import GroupBatch
from core.training.guards import effective_share
from core.training.losses import completion_means, completion_sums, k3
from core.training.methods.group_method import GroupMethod, Loss


def online_method(name: str, loss: Loss, *, needs_values: bool = False) -> GroupMethod:
    """A method judged by what its policy draws for held-out prompts: the best checkpoint earns most."""
    return GroupMethod(
        name,
        loss,
        _look,
        criterion="negative_reward",
        needs_reference=False,  # of completions that are not there yet
        needs_values=needs_values,
    )


def drawn_curves(logprobs_N: Tensor, batch: GroupBatch) -> dict[str, float]:
    """How many of the draws still count (`guards.effective_share`), and the KL to the start where it was computed."""
    ratios_M = completion_sums(logprobs_N - batch.old_N, batch.completion_N, len(batch.place_M))
    figures = {"ess": effective_share(ratios_M)}
    if batch.reference_N.numel():
        figures["kl"] = k3(logprobs_N, batch.reference_N).mean().item()
    return figures


def _look(logprobs_N: Tensor, batch: GroupBatch) -> dict[str, Tensor]:
    """Mean reward of each prompt's draws, their entropy (nats a token, estimated by them) and their KL to the start."""
    count_B = batch.legal_B_G.sum(-1)
    reward_B = batch.rewards_B_G.sum(-1) / count_B
    figures = {"negative_reward": -reward_B, "reward": reward_B, "entropy": _means(-logprobs_N, batch)}
    if batch.reference_N.numel():
        figures["kl"] = _means(k3(logprobs_N, batch.reference_N), batch)
    return figures


def _means(values_N: Tensor, batch: GroupBatch) -> Tensor:
    """Mean over each group's completions of the means over their tokens: (B,)."""
    means_B_G = batch.table(completion_means(values_N, batch.completion_N))
    return means_B_G.sum(-1) / batch.legal_B_G.sum(-1)
