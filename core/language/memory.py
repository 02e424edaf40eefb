"""Keys and values of prompts and of the completions that grow from them, with one copy of each prompt.

A row of prompts goes through the model once. Then every completion adds one token at a time: its query reads the
prompt's keys in one product with those of all its siblings, and its own beside them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class Memory:
    """What attention reads while completions grow; all have come equally far. K counts key heads, D their width."""

    def __init__(self, lengths: Sequence[int], rows: Sequence[int], longest: int) -> None:
        """Prompts of so many tokens, with so many completions each, of at most `longest` tokens."""
        self.lengths = list(lengths)
        self.rows = list(rows)
        self.place = -1
        """How many tokens the completions have; -1 while the prompts go through."""
        self._longest = longest
        self._prompts: dict[int, tuple[Tensor, Tensor]] = {}
        self._own: dict[int, tuple[Tensor, Tensor]] = {}

    def add_prompts(self, layer: int, key_K_T_D: Tensor, value_K_T_D: Tensor) -> None:
        """Keep a layer's keys and values of the row of prompts."""
        self._prompts[layer] = key_K_T_D, value_K_T_D

    def keep(self, kept: Tensor, rows: Sequence[int]) -> None:
        """Drop the completions that are whole: `kept` are places of the others, `rows` how many each prompt has now."""
        self.rows = list(rows)
        for layer, (key, value) in self._own.items():
            self._own[layer] = key[kept], value[kept]

    def read(  # noqa: PLR0917
        self,
        layer: int,
        query_B_H_1_D: Tensor,
        key_B_K_1_D: Tensor,
        value_B_K_1_D: Tensor,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """Add every completion's newest key and value, and read: (B, 1, H, D)."""
        key_B_K_C_D, value_B_K_C_D = self._add(layer, key_B_K_1_D, value_B_K_1_D)
        query_B_K_R_D = query_B_H_1_D[:, :, 0].unflatten(1, (key_B_K_1_D.shape[1], -1)) * scale
        first = 0 if window is None else max(0, self.place - window + 1)
        own = slice(first, self.place + 1)
        scores_B_K_R_C = query_B_K_R_D @ key_B_K_C_D[:, :, own].mT
        values_B_K_C_D = value_B_K_C_D[:, :, own]
        read, row, start = [], 0, 0
        for length, count in zip(self.lengths, self.rows, strict=True):
            if count:
                seen = length if window is None else min(length, max(0, window - 1 - self.place))
                rows, prompt = slice(row, row + count), slice(start + length - seen, start + length)
                key_K_P_D, value_K_P_D = (kept[:, prompt] for kept in self._prompts[layer])
                read.append(
                    _read(
                        query_B_K_R_D[rows],
                        scores_B_K_R_C[rows],
                        key_K_P_D,
                        value_K_P_D,
                        values_B_K_C_D[rows],
                    )
                )
            row, start = row + count, start + length
        return torch.cat(read).flatten(1, 2)[:, None]

    def _add(self, layer: int, key_B_K_1_D: Tensor, value_B_K_1_D: Tensor) -> tuple[Tensor, Tensor]:
        if layer not in self._own:
            self._own[layer] = self._room(key_B_K_1_D), self._room(value_B_K_1_D)
        key, value = self._own[layer]
        key[:, :, self.place], value[:, :, self.place] = key_B_K_1_D[:, :, 0], value_B_K_1_D[:, :, 0]
        return key, value

    def _room(self, first_B_K_1_D: Tensor) -> Tensor:
        rows, heads, _, width = first_B_K_1_D.shape
        return first_B_K_1_D.new_empty(rows, heads, self._longest, width)


def _read(
    query_G_K_R_D: Tensor,
    scores_G_K_R_C: Tensor,
    key_K_P_D: Tensor,
    value_K_P_D: Tensor,
    value_G_K_C_D: Tensor,
) -> Tensor:
    """The completions of one prompt: its keys in one product for all of them, each one's own beside: (G, K, R, D)."""
    group, _, repeats, _ = query_G_K_R_D.shape
    query_K_GR_D = query_G_K_R_D.transpose(0, 1).flatten(1, 2)
    scores_G_K_R_P = (query_K_GR_D @ key_K_P_D.mT).unflatten(1, (group, repeats)).transpose(0, 1)
    together = torch.cat([scores_G_K_R_P, scores_G_K_R_C], -1)
    weights = together.softmax(-1, dtype=torch.float32).to(value_K_P_D.dtype)
    length = key_K_P_D.shape[1]
    of_prompt = weights[..., :length].transpose(0, 1).flatten(1, 2) @ value_K_P_D
    return of_prompt.unflatten(1, (group, repeats)).transpose(0, 1) + weights[..., length:] @ value_G_K_C_D
