"""Token groups as the tensors of one batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from core.language.row import TokenGroup
from core.training.data import TrainingGroup


@dataclass(frozen=True, slots=True)
class GroupBatch:
    """Several groups as tensors: N completion tokens, M completions, B groups of up to G completions."""

    groups: tuple[TrainingGroup, ...]
    completion_N: Tensor
    place_M: Tensor
    """Where each completion stands in a flattened (B, G) table."""
    legal_B_G: Tensor
    rewards_B_G: Tensor
    weights_B_G: Tensor
    reference_N: Tensor
    old_N: Tensor
    mismatched_B_G: Tensor
    """Completions of another prompt: for KTO's reference point only."""
    values_B: Tensor | None = None
    """What the value head expects at each prompt's end, in units of reward (PPO only)."""
    value_scale: Tensor | float = 1.0
    """The value head's unit: how large a usual difference of returns is, in units of reward."""

    @classmethod
    def of(cls, groups: Sequence[TrainingGroup], device: torch.device | str = "cpu") -> Self:
        """Lay out groups on a device."""
        sizes = [len(group.tokens.completions) for group in groups]
        width = max(sizes)
        lengths = [len(completion) for group in groups for completion in group.tokens.completions]
        own_B_1 = torch.tensor([group.own for group in groups])[:, None]
        place_G, sizes_B_1 = torch.arange(width), torch.tensor(sizes)[:, None]
        places = [b * width + g for b, size in enumerate(sizes) for g in range(size)]
        return cls(
            groups=tuple(groups),
            completion_N=torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)).to(device),
            place_M=torch.tensor(places, device=device),
            legal_B_G=(place_G < own_B_1).to(device),
            rewards_B_G=padded((group.rewards for group in groups), width, device),
            weights_B_G=padded((group.weights for group in groups), width, device),
            reference_N=torch.tensor([value for group in groups for value in group.reference], device=device),
            old_N=torch.tensor([value for group in groups for value in group.old], device=device),
            mismatched_B_G=((place_G >= own_B_1) & (place_G < sizes_B_1)).to(device),
        )

    @property
    def tokens(self) -> list[TokenGroup]:
        """What goes through the model."""
        return [group.tokens for group in self.groups]

    @property
    def distribution(self) -> dict[str, Any]:
        """The distribution that the completions were drawn from, in the words of `group_logprobs`."""
        return distribution(self.groups)

    def table(self, values_M: Tensor) -> Tensor:
        """One value a completion, as a (B, G) table with 0 where there is no completion."""
        flat = values_M.new_zeros(self.legal_B_G.numel()).index_put((self.place_M,), values_M)
        return flat.view(self.legal_B_G.shape)

    def of_completions(self, table_B_G: Tensor) -> Tensor:
        """The other way: a (B, G) table's values, one a completion: (M,)."""
        return table_B_G.flatten()[self.place_M]


def distribution(groups: Sequence[TrainingGroup]) -> dict[str, Any]:
    """The one distribution that groups were drawn from, in the words of `group_logprobs`."""
    allowed = [group.allowed or (None,) * len(group.tokens.completions) for group in groups]
    return {
        "temperature": groups[0].temperature,
        "allowed": allowed if any(group.allowed for group in groups) else None,
    }


def padded(rows: Iterable[Sequence[float]], width: int, device: torch.device | str = "cpu") -> Tensor:
    """Rows as a table, zeros after their ends."""
    return torch.tensor([[*row, *([0.0] * (width - len(row)))] for row in rows], device=device)
