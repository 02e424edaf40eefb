"""The order of groups and the course of the learning rate."""

import numpy as np
import pytest
import torch

from core.training.methods.grpo import sample
from core.training.schedule import GroupOrder, learning_rate_factor


def test_every_epoch_takes_every_group_once_in_a_new_order(settings_of):
    """Two epochs of 10: two different permutations, the same for the same seed."""
    order = list(GroupOrder(10, settings_of["sft"](epochs=2)))
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]
    assert order == list(GroupOrder(10, settings_of["sft"](epochs=2)))
    assert order != list(GroupOrder(10, settings_of["sft"](epochs=2, seed=1)))


def test_batches_repeat_for_several_updates_on_one_draw(settings_of):
    """8 groups in batches of 4, three updates each: 24 items, each batch three times in a row."""
    order = list(GroupOrder(8, settings_of["grpo"](epochs=1, num_iterations=3, estimator="sampled")))
    assert len(order) == 24
    assert order[:4] == order[4:8] == order[8:12]
    assert set(order[:4]).isdisjoint(order[12:16])


def test_only_what_was_drawn_for_a_batch_comes_several_times(settings_of):
    """The expectation over a choice and logged completions are what they are: one update each, all ten groups once."""
    for estimator in ("exact", "logged"):
        order = list(GroupOrder(10, settings_of["grpo"](epochs=1, num_iterations=3, estimator=estimator)))
        assert sorted(order) == list(range(10))


def test_no_group_is_left_out_where_batches_are_whole(settings_of):
    """10 groups in batches of 4, two updates each: three batches, the last filled up by the first two groups."""
    order = list(GroupOrder(10, settings_of["grpo"](epochs=1, num_iterations=2, estimator="online")))
    assert len(order) == 24
    assert order[16:20] == order[20:24]
    assert order[18:20] == order[:2]
    assert set(order) == set(range(10))
    ppo = list(GroupOrder(10, settings_of["ppo"](epochs=1, source="online", iterations=2)))
    assert len(ppo) == 24
    assert set(ppo[:12]) == set(ppo[12:]) == set(range(10))


def test_the_learning_rate_rises_and_falls(settings_of):
    """10 steps, 2 of warm-up: a half, whole, then linearly towards 0, which it never wastes a step on."""
    factor = learning_rate_factor(settings_of["sft"](warmup_ratio=0.2), 10)
    assert [factor(step) for step in range(10)] == pytest.approx(
        [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )
    cosine = learning_rate_factor(settings_of["sft"](warmup_ratio=0.0, scheduler="cosine"), 9)
    assert cosine(5) == pytest.approx(0.5)
    assert learning_rate_factor(settings_of["sft"](scheduler="constant"), 9)(8) == 1.0


def test_draws_follow_the_policy_and_belong_to_the_group():
    """20,000 draws of a .7/.3 policy with an impossible third answer; another group draws differently."""
    policy = torch.tensor([0.7, 0.3, 0.0]).log()
    drawn = sample(policy, 20_000, (0, 1), "a")
    assert np.bincount(drawn, minlength=3) / 20_000 == pytest.approx([0.7, 0.3, 0.0], abs=0.015)
    assert drawn[:50] == sample(policy, 50, (0, 1), "a")
    assert drawn[:50] != sample(policy, 50, (0, 1), "b")
    assert drawn[:50] != sample(policy, 50, (0, 2), "a")
