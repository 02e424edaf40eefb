"""Losses against numbers worked by hand."""

import math

import pytest
import torch

from core.training.losses import (
    advantages,
    choice_entropy,
    choice_kl,
    choice_logprobs,
    choice_sft,
    expected_advantage,
    grpo,
    k3,
    sft,
)

ALL = torch.ones(1, 2, dtype=torch.bool)


def test_sft_is_the_mean_negative_log_likelihood():
    """Probabilities 1/2 and 1/8 give (ln 2 + 3 ln 2) / 2 = 2 ln 2."""
    assert sft(torch.tensor([0.5, 0.125]).log()).item() == pytest.approx(2 * math.log(2))


def test_a_choice_is_renormalised_over_its_legal_answers():
    """Of .4, .1 and an illegal .5, the policy is .8, .2 and nothing."""
    policy = choice_logprobs(torch.tensor([[0.4, 0.1, 0.5]]).log(), torch.tensor([[True, True, False]]))
    assert policy.exp().tolist()[0] == pytest.approx([0.8, 0.2, 0.0])


def test_soft_targets_are_a_cross_entropy():
    """Targets 3/4, 1/4 against 1/2, 1/2: ln 2."""
    policy = choice_logprobs(torch.zeros(1, 2), ALL)
    assert choice_sft(policy, torch.tensor([[0.75, 0.25]])).item() == pytest.approx(math.log(2))


def test_entropy_and_kl_of_a_choice_are_exact():
    """.8/.2 has entropy .5004 nats, and is .8 ln 1.6 + .2 ln .4 = .1927 nats from uniform."""
    legal = torch.tensor([[True, True, False]])
    policy = choice_logprobs(torch.tensor([[0.8, 0.2, 1.0]]).log(), legal)
    uniform = choice_logprobs(torch.zeros(1, 3), legal)
    assert choice_entropy(policy).item() == pytest.approx(0.500402, abs=1e-6)
    assert choice_kl(policy, uniform).item() == pytest.approx(0.192745, abs=1e-6)


def test_advantages_by_a_constant_and_by_the_standard_deviation():
    """Rewards 1, 2, 3 (and a place without completion): -1, 0, 1 over .5, or over 1 + .25."""
    rewards, legal = torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([[True, True, True, False]])
    assert advantages(rewards, legal, 0.5, 1.0).tolist() == [[-2.0, 0.0, 2.0, 0.0]]
    assert advantages(rewards, legal, "std", 0.25).tolist()[0] == pytest.approx([-0.8, 0.0, 0.8, 0.0])


def test_the_expected_advantage_of_a_choice():
    """.8 x 1 + .2 x (-1) = .6, less .5 x .1927 of KL: the loss is -.5036."""
    policy = torch.tensor([[0.8, 0.2]]).log()
    kl = choice_kl(policy, torch.tensor([[0.5, 0.5]]).log())
    loss = expected_advantage(policy, torch.tensor([[1.0, -1.0]]), kl, beta=0.5)
    assert loss.item() == pytest.approx(-0.6 + 0.5 * 0.192745, abs=1e-6)


def test_a_constant_added_to_the_rewards_changes_no_gradient():
    """The baseline drops out of the exact expectation, because the probabilities sum to 1."""
    gradients = []
    for shift in (0.0, 7.0):
        scores = torch.tensor([[0.3, -0.2]], requires_grad=True)
        loss = expected_advantage(
            choice_logprobs(scores, ALL), torch.tensor([[1.0, -1.0]]) + shift, torch.zeros(1), 0.0
        )
        gradients.append(torch.autograd.grad(loss, scores)[0])
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_the_clip_takes_the_smaller_objective():
    """Ratios 1.5 and .5 with advantages 1 and -1: min(1.5, 1.2) and min(-.5, -.8), so a loss of -.2."""
    loss = grpo(
        torch.tensor([1.5, 0.5]).log(),
        torch.zeros(2),
        torch.tensor([1.0, -1.0]),
        torch.tensor([0, 1]),
        clip_range=0.2,
        loss_type="sequence",
    )
    assert loss.item() == pytest.approx(-(1.2 - 0.8) / 2)


def test_sequence_and_token_normalisation_differ_by_the_lengths():
    """Advantages 1 on one token and -1 on three: 0 by sequence, +1/2 by token."""
    completion, advantage = torch.tensor([0, 1, 1, 1]), torch.tensor([1.0, -1.0, -1.0, -1.0])
    losses = {
        kind: grpo(
            torch.zeros(4), torch.zeros(4), advantage, completion, clip_range=0.2, loss_type=kind
        ).item()
        for kind in ("sequence", "token")
    }
    assert losses == {"sequence": pytest.approx(0.0), "token": pytest.approx(0.5)}


def test_k3_is_never_negative_and_zero_for_equal_policies():
    """exp(d) - d - 1 at d = 0, 1, -1."""
    values = k3(torch.zeros(3), torch.tensor([0.0, 1.0, -1.0]))
    assert values.tolist() == pytest.approx([0.0, math.e - 2, 1 / math.e])
