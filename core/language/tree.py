"""The completions of one prompt as a tree of tokens: what several of them begin with stands in it once.

The last token of a completion predicts nothing and is left out, and what only repeats another completion, or its
beginning, adds nothing.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

Tokens = tuple[int, ...]

LONGEST_SEGMENT = 256
"""Longer stretches without a branch are cut: attention inside a segment costs its length squared."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens that follow each other without a branch; whatever stands below them sees them all."""

    tokens: Tokens
    depth: int
    """Position of the first token."""
    below: int
    """How many tokens stand below it: in the tree's order, those that come right after it."""
    deepest: int
    """The last position below it."""

    @property
    def end(self) -> int:
        """Position after the last token."""
        return self.depth + len(self.tokens)


@dataclass(frozen=True, slots=True)
class TokenTree:
    """Segments, each before those below it; the first is the prompt with what all completions begin with."""

    segments: tuple[Segment, ...]
    predictors: Sequence[int]
    """For every completion token, which token of the tree predicts it."""


def token_tree(prompt: Tokens, completions: Sequence[Tokens]) -> TokenTree:
    """The tree of one group."""
    paths, growth = _paths(prompt, completions), _Growth()
    growth.add(paths, [])
    predictors: list[int] = []
    for completion in completions:
        fed = prompt + completion[:-1]
        predictors += growth.places[paths[bisect_left(paths, fed)]][len(prompt) - 1 : len(fed)]
    return TokenTree(tuple(growth.segments), predictors)


def tree_size(prompt: Tokens, completions: Sequence[Tokens]) -> int:
    """How many tokens stand in the tree."""
    paths = _paths(prompt, completions)
    return sum(map(len, paths)) - sum(_agreement(one, after) for one, after in pairwise(paths))


def _paths(prompt: Tokens, completions: Sequence[Tokens]) -> list[Tokens]:
    """What is fed to the model, sorted, without what another one begins with."""
    fed = sorted({prompt + completion[:-1] for completion in completions})
    return [one for one, after in pairwise(fed) if after[: len(one)] != one] + fed[-1:]


def _agreement(one: Tokens, other: Tokens) -> int:
    """How many tokens both begin with."""
    shortest = min(len(one), len(other))
    if one[:shortest] == other[:shortest]:
        return shortest
    return next(index for index in range(shortest) if one[index] != other[index])


class _Growth:
    """A tree while it is made: sorted paths share what they begin with, then branch."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.places: dict[Tokens, list[int]] = {}
        """For each path, where its tokens stand in the tree."""
        self._size = 0

    def add(self, paths: list[Tokens], above: list[int]) -> None:
        """The part of the tree that these paths make beyond what stands above them all."""
        depth, common = len(above), _agreement(paths[0], paths[-1])
        path = above + list(range(self._size, self._size + common - depth))
        self._size += common - depth
        cuts = [*range(depth, common, LONGEST_SEGMENT), common] if depth else [0, common]
        deepest, before = max(map(len, paths)) - 1, len(self.segments)
        self.segments += [Segment(paths[0][a:b], a, 0, deepest) for a, b in pairwise(cuts)]
        end = self._size
        if len(paths) == 1:
            self.places[paths[0]] = path
        else:
            for _, branch in groupby(paths, key=lambda one: one[common]):
                self.add(list(branch), path)
        for index, cut in enumerate(cuts[1:], before):
            below = self._size - end + common - cut
            self.segments[index] = replace(self.segments[index], below=below)
