"""Groups of completions laid out in one row: `prompt | completion 1 | completion 2 | ...`, group after group.

Positions start again after the prompt for every completion. The last token of a completion predicts nothing and is
left out, and the first tokens of all completions are read from the prompt's last position: a group of single-letter
answers costs exactly its prompt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """One prompt and the completions that follow it, as token ids; none is empty."""

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest completion."""
        return len(self.prompt) + max(len(completion) for completion in self.completions)

    @property
    def computed(self) -> int:
        """Tokens that go through the model."""
        return len(self.prompt) + sum(len(completion) - 1 for completion in self.completions)


@dataclass(frozen=True, slots=True)
class Span:
    """One group's place in a row, and the grid its completions make (G completions, C positions each)."""

    start: int
    prompt: int
    suffix: int
    grid_G_C: Tensor
    """For each place of the grid, its position in the suffix; 0 where a completion has ended."""
    valid_G_C: Tensor


@dataclass(frozen=True, slots=True)
class Row:
    """Groups laid out for one forward pass. N counts completion tokens, K positions that predict one."""

    input_ids_T: Tensor
    position_ids_T: Tensor
    spans: tuple[Span, ...]
    kept_K: Tensor
    predictor_N: Tensor
    """Which of the K kept positions predicts each completion token."""
    target_N: Tensor


def lay_out(groups: Sequence[TokenGroup], device: torch.device | str = "cpu") -> Row:
    """Tokens, positions and indices of groups in one row."""
    tokens: list[int] = []
    positions: list[int] = []
    kept: list[int] = []
    predictors: list[int] = []
    spans = []
    for group in groups:
        prompt, start = len(group.prompt), len(tokens)
        tokens += group.prompt
        positions += range(prompt)
        first = len(kept)
        for completion in group.completions:
            own = len(tokens) - start - prompt  # suffix tokens before this completion
            predictors += [first, *(first + 1 + own + place for place in range(len(completion) - 1))]
            tokens += completion[:-1]
            positions += range(prompt, prompt + len(completion) - 1)
        kept += range(start + prompt - 1, len(tokens))
        spans.append(_span(group, start, device))

    def tensor(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    targets = [token for group in groups for completion in group.completions for token in completion]
    return Row(
        tensor(tokens), tensor(positions), tuple(spans), tensor(kept), tensor(predictors), tensor(targets)
    )


def _span(group: TokenGroup, start: int, device: torch.device | str) -> Span:
    lengths_G = torch.tensor([len(completion) - 1 for completion in group.completions], device=device)
    places_C = torch.arange(int(lengths_G.max()), device=device)
    valid_G_C = places_C[None] < lengths_G[:, None]
    first_G = lengths_G.cumsum(0) - lengths_G
    grid_G_C = torch.where(valid_G_C, first_G[:, None] + places_C[None], 0)
    return Span(start, len(group.prompt), int(lengths_G.sum()), grid_G_C, valid_G_C)


def slices(groups: Sequence[TokenGroup], limit: int) -> Iterator[slice]:
    """Consecutive parts of at most `limit` tokens each (or of one group that is longer)."""
    start = tokens = 0
    for index, group in enumerate(groups):
        if index > start and tokens + group.computed > limit:
            yield slice(start, index)
            start, tokens = index, 0
        tokens += group.computed
    if groups:
        yield slice(start, len(groups))
