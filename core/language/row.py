"""Groups laid out in one row: the roots of their token trees, then all that branches from them, group after group.

A root is the prompt with what all completions begin with; positions count along the branches. The last token of a
completion predicts nothing and is left out, and the first tokens of all completions are read from the prompt's last
position: a group of single-letter answers costs exactly its prompt.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.language.parts import Grid, Tile, grids
from core.language.tree import Segment, Tokens, TokenTree, token_tree, tree_size

LONGEST_TILE = 512


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """One prompt and the completions that follow it, as token ids; none is empty."""

    prompt: Tokens
    completions: tuple[Tokens, ...]

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest completion."""
        return len(self.prompt) + max(map(len, self.completions), default=0)

    @property
    def computed(self) -> int:
        """Tokens that go through the model: what several completions begin with counts once."""
        return tree_size(self.prompt, self.completions)


@dataclass(frozen=True, slots=True)
class Forest:
    """Who sees whom in a row: a root itself, everything else its own branch up to the root."""

    roots: tuple[slice, ...]
    tiles: tuple[Tile, ...]
    grids: tuple[Grid, ...]

    @property
    def branches(self) -> int:
        """Where in the row the roots end."""
        return self.roots[-1].stop


@dataclass(frozen=True, slots=True)
class Row:
    """Groups laid out for one forward pass. N counts completion tokens, K positions that predict one."""

    input_ids_T: Tensor
    position_ids_T: Tensor
    forest: Forest
    kept_K: Tensor
    predictor_N: Tensor
    """Which of the K kept positions predicts each completion token."""
    target_N: Tensor


@dataclass(frozen=True, slots=True)
class _Planted:
    """A tree's place in a row: its root, and all that branches from it."""

    tree: TokenTree
    prompt: int
    root: slice
    branches: slice

    @property
    def rows(self) -> list[int]:
        """Where in the row the tree's tokens stand."""
        return [*range(self.root.start, self.root.stop), *range(self.branches.start, self.branches.stop)]

    @property
    def placed(self) -> Iterator[tuple[int, Segment]]:
        """The segments below the root, and where in the row they start."""
        start = self.branches.start
        for segment in self.tree.segments[1:]:
            yield start, segment
            start += len(segment.tokens)


def lay_out(groups: Sequence[TokenGroup], device: torch.device | str = "cpu") -> Row:
    """Tokens, positions and indices of groups in one row."""

    def tensor(values: Iterable[int]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.long, device=device)

    planted = _plant(groups)
    segments = [one.tree.segments[0] for one in planted]
    segments += [segment for one in planted for segment in one.tree.segments[1:]]
    position_ids_T = tensor(place for segment in segments for place in range(segment.depth, segment.end))
    kept = [row for one in planted for row in one.rows[one.prompt - 1 :]]
    index_of = {row: index for index, row in enumerate(kept)}
    predictors = [
        index_of[rows[place]] for one in planted for rows in [one.rows] for place in one.tree.predictors
    ]
    return Row(
        input_ids_T=tensor(token for segment in segments for token in segment.tokens),
        position_ids_T=position_ids_T,
        forest=_forest(planted, position_ids_T),
        kept_K=tensor(kept),
        predictor_N=tensor(predictors),
        target_N=tensor(
            token for group in groups for completion in group.completions for token in completion
        ),
    )


def _plant(groups: Sequence[TokenGroup]) -> list[_Planted]:
    trees = [token_tree(group.prompt, group.completions) for group in groups]
    root, branch = 0, sum(tree.segments[0].end for tree in trees)
    planted = []
    for group, tree in zip(groups, trees, strict=True):
        stem = tree.segments[0]
        ends = root + stem.end, branch + stem.below
        planted.append(_Planted(tree, len(group.prompt), slice(root, ends[0]), slice(branch, ends[1])))
        root, branch = ends
    return planted


def _forest(planted: Sequence[_Planted], position_ids_T: Tensor) -> Forest:
    tiles: list[Tile] = []
    for one in planted:
        stem = one.tree.segments[0]
        tiles += _tiles(stem, one.root.start, one.branches.start, position_ids_T)
        for start, segment in one.placed:
            tiles += _tiles(segment, start, start + len(segment.tokens), position_ids_T)
    below = [placed for one in planted for placed in one.placed]
    starts, lengths = [start for start, _ in below], [len(segment.tokens) for _, segment in below]
    own = grids(starts, lengths, position_ids_T.device)
    return Forest(tuple(one.root for one in planted), tuple(tiles), tuple(own))


def _tiles(segment: Segment, keys: int, queries: int, position_ids_T: Tensor) -> Iterator[Tile]:
    """What stands below a segment against the segment, in products of bounded size."""
    size = len(segment.tokens)
    for first in range(0, size, LONGEST_TILE):
        for below in range(0, segment.below, LONGEST_TILE):
            yield Tile(
                queries=slice(queries + below, queries + min(below + LONGEST_TILE, segment.below)),
                keys=slice(keys + first, keys + min(first + LONGEST_TILE, size)),
                key_position=segment.depth + first,
                nearest=segment.end,
                deepest=segment.deepest,
                position_ids_T=position_ids_T,
            )


def slices(groups: Sequence[TokenGroup], limit: int) -> Iterator[slice]:
    """Consecutive parts of at most `limit` tokens each (or of one group that is longer)."""
    start = tokens = 0
    for index, group in enumerate(groups):
        computed = group.computed
        if index > start and tokens + computed > limit:
            yield slice(start, index)
            start, tokens = index, 0
        tokens += computed
    if groups:
        yield slice(start, len(groups))
