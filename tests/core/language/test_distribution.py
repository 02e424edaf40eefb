"""The distribution of one token: hand-worked sets, draws at given numbers, and bits."""

import numpy as np
import pytest
import torch

from core.language import distribution
from core.language.distribution import draw, holds, nucleus, only, pack, unpack

PROBABILITIES = torch.tensor([[0.1, 0.4, 0.0, 0.3, 0.2], [0.9, 0.1, 0.0, 0.0, 0.0]])
LOGITS = PROBABILITIES.log()


@pytest.mark.parametrize("likely", [2, 512])
def test_top_p_keeps_the_fewest_that_hold_it(likely, monkeypatch):
    """.4, .3, .2, .1: half is held by two, .7 by two, .75 by three; one that holds more than all is kept alone."""
    monkeypatch.setattr(distribution, "_LIKELY", likely)
    for top_p, kept in ((0.3, [1]), (0.5, [1, 3]), (0.65, [1, 3]), (0.75, [1, 3, 4]), (0.95, [0, 1, 3, 4])):
        mask_B_V = nucleus(LOGITS, top_p)
        assert mask_B_V[0].nonzero()[:, 0].tolist() == kept
        assert mask_B_V[1].nonzero()[:, 0].tolist() == ([0] if top_p < 0.9 else [0, 1])


def test_a_draw_inverts_the_distribution_function():
    """.1, .4, 0, .3, .2: below .1 the first, below .5 the second, never the third, below .8 the fourth, then the last."""
    numbers = [0.0, 0.0999, 0.11, 0.4999, 0.51, 0.7999, 0.81, 1 - 2**-24, 1.0]
    drawn = draw(LOGITS[:1].expand(len(numbers), -1), 1.0, 1.0, None, torch.tensor(numbers))
    assert drawn.tokens_B.tolist() == [0, 0, 1, 1, 3, 3, 4, 4, 4]
    assert torch.allclose(drawn.logprobs_B.exp(), PROBABILITIES[0][drawn.tokens_B])
    assert drawn.allowed_B_W is None


def test_what_is_hidden_is_never_drawn_and_the_rest_is_renormalised():
    """Legal: the first and the third; the third has no probability, so the first is certain at any number."""
    legal = torch.from_numpy(only([0, 2], 5))[None].expand(3, -1)
    drawn = draw(LOGITS[:1].expand(3, -1), 1.0, 1.0, legal, torch.tensor([0.0, 0.5, 1.0]))
    assert drawn.tokens_B.tolist() == [0, 0, 0]
    assert drawn.logprobs_B.tolist() == [0, 0, 0]


def test_temperature_comes_before_top_p():
    """At temperature 1/2 .4 and .3 become 16/30 and 9/30: .5 is then held by one token."""
    drawn = draw(LOGITS[:1], 0.5, 0.5, None, torch.tensor([0.9]))
    assert drawn.tokens_B.tolist() == [1]
    assert unpack(drawn.allowed_B_W, 5)[0].tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("vocabulary", [1, 8, 13, 64])
def test_bits_are_numpys_little_ones(vocabulary):
    """Packed, unpacked and looked up alike by torch and by numpy."""
    mask = torch.rand(6, vocabulary, generator=torch.Generator().manual_seed(vocabulary)) < 0.5
    bits = pack(mask)
    assert torch.equal(unpack(bits, vocabulary), mask)
    assert np.array_equal(bits.numpy(), np.packbits(mask.numpy(), axis=-1, bitorder="little"))
    tokens = [index % vocabulary for index in range(6)]
    assert holds(bits.numpy(), tokens).tolist() == [
        bool(row[token]) for row, token in zip(mask, tokens, strict=True)
    ]
    assert np.array_equal(only([0], vocabulary), pack(torch.arange(vocabulary)[None] == 0)[0].numpy())
