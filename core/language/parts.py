"""Which tokens of a row see which: attention below the roots, cut into parts that are one matrix product each.

A part takes its queries and keys out of a row's tensors and gives results back. K counts key heads, R the query heads
that read one of them, T the row's tokens. All parts of one query together are everything it sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

_SMALLEST_GRID = 32
_GRID_SCORES = 2**20


class Part(Protocol):
    """Queries that are held against the same keys, or a batch of such."""

    def take(self, values_K_R_T: Tensor) -> Tensor:
        """The part's queries, or anything else kept for each query: (K, ..., R * M, ...)."""

    def give(self, values_K_R_T: Tensor, part: Tensor) -> None:
        """Write what was taken and changed."""

    def take_keys(self, values_K_T_D: Tensor) -> Tensor:
        """The part's keys or values: (K, ..., L, D)."""

    def add_keys(self, values_K_T_D: Tensor, part: Tensor) -> None:
        """Add to what was taken."""

    def hidden(self, window: int | None) -> Tensor | None:
        """What a query can't see when it looks back `window` positions, itself included: (..., M, L) or nothing."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What stands below a segment, and the segment: one product, shared by all branches."""

    queries: slice
    keys: slice
    key_position: int
    """Position of the first key; the others follow it."""
    nearest: int
    deepest: int
    """First and last position of the queries below the segment."""
    position_ids_T: Tensor

    def within(self, window: int) -> Self | None:
        """Without the keys that no query sees."""
        unseen = self.nearest - window + 1 - self.key_position
        if unseen <= 0:
            return self
        keys = slice(self.keys.start + unseen, self.keys.stop)
        return (
            replace(self, keys=keys, key_position=self.key_position + unseen)
            if keys.start < keys.stop
            else None
        )

    def take(self, values_K_R_T: Tensor) -> Tensor:
        """(K, R * M, ...)."""
        return values_K_R_T[:, :, self.queries].flatten(1, 2)

    def give(self, values_K_R_T: Tensor, part: Tensor) -> None:
        """From (K, R * M, ...)."""
        place = values_K_R_T[:, :, self.queries]
        place.copy_(part.view_as(place))

    def take_keys(self, values_K_T_D: Tensor) -> Tensor:
        """(K, L, D)."""
        return values_K_T_D[:, self.keys]

    def add_keys(self, values_K_T_D: Tensor, part: Tensor) -> None:
        """From (K, L, D)."""
        values_K_T_D[:, self.keys] += part

    def hidden(self, window: int | None) -> Tensor | None:
        """(M, L)."""
        if window is None or self.deepest - self.key_position < window:
            return None
        keys = self.keys.stop - self.keys.start
        key_positions_L = torch.arange(keys, device=self.position_ids_T.device) + self.key_position
        return self.position_ids_T[self.queries, None] - key_positions_L >= window


@dataclass(frozen=True, slots=True)
class Grid:
    """Segments of about the same length, each against itself: S segments, C places each."""

    rows_S_C: Tensor
    """Where in the row each place stands; after a segment's end its last token is repeated."""
    hidden_S_C_C: Tensor
    """The future, and everything for the places after the end."""
    rows_N: Tensor
    """Where in the row the N tokens stand, and where in the grid."""
    places_N: Tensor

    @classmethod
    def of(cls, starts: Sequence[int], lengths: Sequence[int], device: torch.device | str) -> Self:
        """The grid of segments that start at these places of the row."""
        starts_S_1 = torch.tensor(starts, device=device)[:, None]
        lengths_S_1 = torch.tensor(lengths, device=device)[:, None]
        places_C = torch.arange(max(lengths), device=device)
        rows_S_C = starts_S_1 + torch.minimum(places_C, lengths_S_1 - 1)
        valid_S_C = places_C < lengths_S_1
        hidden_S_C_C = (places_C > places_C[:, None]) | ~valid_S_C[..., None]
        return cls(rows_S_C, hidden_S_C_C, rows_S_C[valid_S_C], valid_S_C.flatten().nonzero()[:, 0])

    def take(self, values_K_R_T: Tensor) -> Tensor:
        """(K, S, R * C, ...)."""
        return values_K_R_T[:, :, self.rows_S_C].transpose(1, 2).flatten(2, 3)

    def give(self, values_K_R_T: Tensor, part: Tensor) -> None:
        """From (K, S, R * C, ...)."""
        by_head = part.unflatten(2, (values_K_R_T.shape[1], -1)).transpose(1, 2).flatten(2, 3)
        values_K_R_T[:, :, self.rows_N] = by_head[:, :, self.places_N]

    def take_keys(self, values_K_T_D: Tensor) -> Tensor:
        """(K, S, C, D)."""
        return values_K_T_D[:, self.rows_S_C]

    def add_keys(self, values_K_T_D: Tensor, part: Tensor) -> None:
        """From (K, S, C, D)."""
        values_K_T_D[:, self.rows_N] += part.flatten(1, 2)[:, self.places_N]

    def hidden(self, window: int | None) -> Tensor | None:
        """(S, C, C)."""
        width = self.hidden_S_C_C.shape[-1]
        if window is None or width <= window:
            return self.hidden_S_C_C
        places_C = torch.arange(width, device=self.hidden_S_C_C.device)
        return self.hidden_S_C_C | (places_C[:, None] - places_C >= window)


def grids(starts: Sequence[int], lengths: Sequence[int], device: torch.device | str) -> list[Grid]:
    """Segments on grids of bounded size, short ones apart from long ones."""
    found: list[Grid] = []
    order = sorted(range(len(starts)), key=lambda index: lengths[index])
    while order:
        widest = max(_SMALLEST_GRID, 2 * lengths[order[0]])
        alike = [index for index in order if lengths[index] <= widest]
        part = alike[: max(1, _GRID_SCORES // lengths[alike[-1]] ** 2)]
        order = order[len(part) :]
        found.append(Grid.of([starts[index] for index in part], [lengths[index] for index in part], device))
    return found
