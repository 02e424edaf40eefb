"""Layers that look back a few tokens only: by position along a branch, whatever stands between in the row."""

import random

import pytest
import torch

from core.language import attention, row, tree
from core.language.group import group_logprobs, plain_logprobs
from core.language.row import TokenGroup, lay_out
from core.language.sharing import sharing

LAYERS = {"layer_types": ["sliding_attention", "full_attention"]}
SLIDING = {
    "mistral": {},
    "phi3": {},
    "gemma3_text": LAYERS,
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1},
    "qwen3": {"use_sliding_window": True, "max_window_layers": 1},
    "smollm3": {"use_sliding_window": True, "no_rope_layer_interval": 2},
}


def words(seed: int, count: int) -> tuple[int, ...]:
    stream = random.Random(seed)
    return tuple(stream.randrange(3, 97) for _ in range(count))


@pytest.mark.parametrize("kind", sorted(SLIDING))
@pytest.mark.parametrize("window", [1, 2, 6, 14])
def test_windows_shorter_than_the_row_give_the_plain_numbers(kind, window, make, assert_plain, tree_of):
    """Windows inside a completion, across its beginning and across the prompt's, in trees of several groups."""
    model = make(kind, sliding_window=window, **SLIDING[kind])
    assert model.config.sliding_window == window
    assert sharing(model.config, 64).shared
    letters = TokenGroup(words(1, 20), (words(2, 1), words(3, 1)))
    long = TokenGroup(words(4, 12), (words(5, 17), words(6, 3)))
    assert_plain(model, [tree_of(0), letters, long, tree_of(1, 3)])


@pytest.mark.parametrize("kind", sorted(SLIDING))
def test_windows_adapters_and_checkpointing_work_together(kind, make, adapted, gradients, tree_of):
    """LoRA's gradients through checkpointed windowed layers of two groups equal those of the plain computation."""
    model = adapted(make(kind, sliding_window=6, **SLIDING[kind]))
    groups = [tree_of(0), tree_of(1, 20)]
    expected = gradients(model, torch.cat([plain_logprobs(model, group) for group in groups]))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    found = gradients(model, group_logprobs(model, groups))
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("window", [3, 10])
def test_long_prompts_are_windowed_some_queries_at_a_time(window, monkeypatch, make, assert_plain, tree_of):
    """Cut into pieces of 4 tokens, everything windowed gives the same numbers."""
    monkeypatch.setattr(attention, "_WINDOWED_QUERIES", 4)
    monkeypatch.setattr(row, "LONGEST_TILE", 4)
    monkeypatch.setattr(tree, "LONGEST_SEGMENT", 4)
    group = TokenGroup(words(0, 23), (words(1, 9), words(2, 14)))
    assert_plain(make("mistral", sliding_window=window), [group, tree_of(0)])


def test_keys_that_no_query_sees_are_left_out():
    """Behind a prompt of 20 tokens with a window of 6, the first query sees the prompt's last five."""
    (tile,) = lay_out([TokenGroup(words(0, 20), (words(1, 4), words(2, 4)))]).forest.tiles
    near = tile.within(6)
    assert (near.keys, near.key_position) == (slice(15, 20), 15)
    assert tile.within(1) is None
    assert tile.within(21) == tile
