"""Completions that begin alike: what they share is computed once."""

import random

import pytest

from core.language import parts, row, tree
from core.language.row import TokenGroup, lay_out
from core.language.tree import Segment, token_tree, tree_size


def test_a_tree_holds_every_common_beginning_once():
    """Prompt 9 8; completions 1 2 3, 1 2 4 5 and 1 6, each without its last token: 9 8 1 2 4 holds them all."""
    found = token_tree((9, 8), ((1, 2, 3), (1, 2, 4, 5), (1, 6)))
    assert found.segments == (Segment((9, 8, 1, 2, 4), 0, 0, 4),)
    assert list(found.predictors) == [1, 2, 3, 1, 2, 3, 4, 1, 2]


def test_a_tree_branches_where_completions_differ():
    """After 9 and what all share (1) come 2 with 3 and 4 below it, then 5."""
    found = token_tree((9,), ((1, 2, 3, 0), (1, 2, 4, 0), (1, 5, 0)))
    stem, second, *leaves = found.segments
    assert (stem, second) == (Segment((9, 1), 0, 4, 3), Segment((2,), 2, 2, 3))
    assert leaves == [Segment((3,), 3, 0, 3), Segment((4,), 3, 0, 3), Segment((5,), 2, 0, 2)]
    assert list(found.predictors) == [0, 1, 2, 3, 0, 1, 2, 4, 0, 1, 5]


def test_equal_completions_and_beginnings_of_others_cost_nothing():
    """Four completions, one of them twice and one the beginning of another: the tree of the two longest."""
    longest = ((1, 2, 3, 4), (5, 6))
    assert tree_size((9, 9), (*longest, longest[0], (1, 2, 7))) == tree_size((9, 9), longest) == 2 + 3 + 1


@pytest.mark.parametrize("seed", range(8))
def test_every_token_is_predicted_from_exactly_what_precedes_it(seed, tree_of):
    """Walking a tree up from a predictor gives the prompt and the completion's tokens so far; counts agree."""
    group = tree_of(seed)
    found = token_tree(group.prompt, group.completions)
    above = _above(found.segments)
    predictors = iter(found.predictors)
    for completion in group.completions:
        for end in range(len(completion)):
            assert above[next(predictors)] == group.prompt + completion[:end]
    assert len(above) == group.computed == len(lay_out([group]).input_ids_T)


def _above(segments: tuple[Segment, ...]) -> list[tuple[int, ...]]:
    """For each token of a tree, the tokens from the root down to it."""
    found: list[tuple[int, ...]] = []
    open_segments: list[tuple[int, tuple[int, ...]]] = []
    for segment in segments:
        while open_segments and len(found) >= open_segments[-1][0]:
            open_segments.pop()
        before = open_segments[-1][1] if open_segments else ()
        assert len(before) == segment.depth
        whole = before + segment.tokens
        found += [whole[:end] for end in range(segment.depth + 1, segment.end + 1)]
        open_segments.append((len(found) + segment.below, whole))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_trees_give_the_plain_numbers(seed, make, assert_plain, tree_of):
    """Random trees with single-token branches, beginnings of others and equal completions, three in one row."""
    groups = [tree_of(3 * seed + number, prompt) for number, prompt in enumerate((9, 1, 20))]
    assert_plain(make("llama"), groups)


def test_a_tree_computes_less_than_its_completions(tree_of):
    """What the random trees of these tests share is a large part."""
    group = tree_of(0)
    apart = len(group.prompt) + sum(len(completion) - 1 for completion in group.completions)
    assert group.computed < 0.7 * apart


def test_long_segments_and_products_are_cut_without_a_difference(monkeypatch, make, assert_plain, tree_of):
    """Segments of at most 3 tokens, tiles of at most 4 and grids of a few scores give the same numbers."""
    monkeypatch.setattr(tree, "LONGEST_SEGMENT", 3)
    monkeypatch.setattr(row, "LONGEST_TILE", 4)
    monkeypatch.setattr(parts, "_SMALLEST_GRID", 1)
    monkeypatch.setattr(parts, "_GRID_SCORES", 8)
    stream = random.Random(0)
    long = tuple(tuple(stream.randrange(3, 97) for _ in range(length)) for length in (11, 2, 17))
    groups = [tree_of(0), TokenGroup((5, 6, 7), long)]
    forest = lay_out(groups).forest
    assert max(tile.keys.stop - tile.keys.start for tile in forest.tiles) == 4
    assert len(forest.grids) > 4
    assert max(grid.rows_S_C.shape[1] for grid in forest.grids) == 3
    assert_plain(make("llama"), groups)


def test_a_trajectory_of_many_turns_needs_a_small_part_of_all_scores():
    """Ten turns of 50 tokens with a side branch each, 1,090 tokens in the row: fewer than half of all pairs are scored."""
    stream = random.Random(0)
    path: tuple[int, ...] = ()
    completions = []
    for _ in range(10):
        path += tuple(stream.randrange(3, 50) for _ in range(50))
        completions.append((*path, *(stream.randrange(50, 97) for _ in range(50))))
    group = TokenGroup(tuple(stream.randrange(3, 97) for _ in range(100)), tuple(completions))
    forest = lay_out([group]).forest
    scored = sum(grid.hidden_S_C_C.numel() for grid in forest.grids) + forest.branches**2
    for tile in forest.tiles:
        scored += (tile.queries.stop - tile.queries.start) * (tile.keys.stop - tile.keys.start)
    assert group.computed == 100 + 10 * 50 + 10 * 49
    assert scored < group.computed**2 / 2
