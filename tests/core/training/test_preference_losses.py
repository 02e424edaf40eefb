"""Preference losses against numbers worked by hand."""

import math

import pytest
import torch

from core.training.preference_losses import dpo, ipo, kto, kto_reference_point, robust_dpo

MARGINS = torch.tensor([0.0, 10 * math.log(3)])
"""With beta .1: sigma is 1/2, and 3/4."""


def test_dpo_is_the_log_loss_of_the_implicit_reward():
    """-ln sigma(beta margin): ln 2 for equal ratios, ln 4/3 for a margin of 10 ln 3 nats at beta .1."""
    assert dpo(MARGINS, beta=0.1).tolist() == pytest.approx([math.log(2), math.log(4 / 3)])


def test_smoothed_labels_count_both_ways_round():
    """A tenth of ln 4 (the pair reversed) and nine tenths of ln 4/3."""
    expected = [math.log(2), 0.9 * math.log(4 / 3) + 0.1 * math.log(4)]
    assert dpo(MARGINS, beta=0.1, label_smoothing=0.1).tolist() == pytest.approx(expected)


def test_the_robust_loss_is_dpos_in_expectation_over_flipped_labels():
    """Where a fifth of the labels is flipped, .8 of the loss on a pair and .2 of that on its reverse is DPO's."""
    loss = 0.8 * robust_dpo(MARGINS, beta=0.1, label_smoothing=0.2)
    loss += 0.2 * robust_dpo(-MARGINS, beta=0.1, label_smoothing=0.2)
    assert loss.tolist() == pytest.approx(dpo(MARGINS, beta=0.1).tolist())


def test_ipo_wants_a_margin_of_half_the_inverse_of_tau():
    """Tau .25 asks for 2: margins 2, 1.5 and 0 miss it by 0, .5 and 2."""
    assert ipo(torch.tensor([2.0, 1.5, 0.0]), beta=0.25).tolist() == pytest.approx([0.0, 0.25, 4.0])


def test_kto_measures_gains_and_losses_from_the_reference_point():
    """z0 = 10 ln 3 at beta .1: a desirable one there is at 1/2, one 10 ln 3 above at 1 - 3/4, an undesirable one below too."""
    point = torch.tensor(10 * math.log(3))
    ratios = torch.tensor([1.0, 2.0, 0.0, 2.0]) * point
    desirable = torch.tensor([True, True, False, False])
    loss = kto(ratios, desirable, point, beta=0.1, desirable_weight=2.0, undesirable_weight=1.5)
    assert loss.tolist() == pytest.approx([1.0, 0.5, 0.375, 1.125])


def test_the_reference_point_is_a_mean_that_is_never_negative_and_passes_no_gradient():
    """1 and 2 give 1.5; -1 and -2 give 0; nothing gives 0."""
    ratios = torch.tensor([1.0, 2.0], requires_grad=True)
    assert kto_reference_point(ratios).item() == 1.5
    assert not kto_reference_point(ratios).requires_grad
    assert kto_reference_point(-ratios).item() == 0
    assert kto_reference_point(torch.zeros(0)).item() == 0
