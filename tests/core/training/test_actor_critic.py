"""PPO's losses and generalised advantages against numbers worked by hand; sessions from rows to advantages."""

from dataclasses import replace

import pytest
import torch

from core.dataset import write_snapshot
from core.errors import ModelError
from core.language.config import model_config
from core.language.group import group_logprobs, use_group_attention
from core.language.model import load_model
from core.language.row import TokenGroup
from core.training.actor_critic import gae, ppo_value
from core.training.adapter import new_adapter
from core.training.batch import GroupBatch
from core.training.config import AdapterSettings, PpoSettings
from core.training.data import Decision, TrainingGroup, load_groups
from core.training.losses import clipped_surrogate
from core.training.methods import method_of
from core.training.sessions import advantages_of, with_advantages
from core.training.value_head import (
    ValueHead,
    add_value_head,
    load_value_head,
    logprobs_and_values,
    save_value_head,
)

REWARDS = torch.tensor([[1.0, 0.0, 2.0], [1.0, 3.0, 0.0]])
VALUES = torch.tensor([[0.5, 1.0, 1.0], [2.0, 1.0, 0.0]])
LEGAL = torch.tensor([[True, True, True], [True, True, False]])


def test_generalised_advantages_of_two_sessions():
    """Gamma .5, lambda .5, so gamma lambda .25.

    First session, over after three decisions: deltas 1 + .5 - .5 = 1, 0 + .5 - 1 = -.5, 2 + 0 - 1 = 1;
    advantages 1, -.5 + .25 = -.25, 1 + .25 x -.25 = .9375. The second ends after two, and 4 more are to come:
    deltas 1 + .5 - 2 = -.5 and 3 + 2 - 1 = 4; advantages 4 and -.5 + 1 = .5.
    """
    last = torch.tensor([0.0, 4.0])
    advantages = gae(REWARDS, VALUES, last, LEGAL, gamma=0.5, lam=0.5)
    assert advantages.tolist() == [[0.9375, -0.25, 1.0], [0.5, 4.0, 0.0]]


def test_lambda_one_is_the_discounted_return_minus_the_value_and_lambda_zero_the_one_step_error():
    """Returns at gamma .5: 1.5, 1, 2 and 2.5, 3; their advantages are without the values but the decision's own."""
    over = torch.zeros(2)
    whole = gae(REWARDS, VALUES, over, LEGAL, gamma=0.5, lam=1.0)
    assert whole.tolist() == [[1.0, 0.0, 1.0], [0.5, 2.0, 0.0]]
    one_step = gae(REWARDS, VALUES, over, LEGAL, gamma=0.5, lam=0.0)
    assert one_step.tolist() == [[1.0, -0.5, 1.0], [-0.5, 2.0, 0.0]]


def test_the_clipped_surrogate_takes_the_smaller_objective_and_ends_the_gradient_there():
    """Ratios 1.5 and .5, advantages 1 and -1, clip .2: -1.2 and .8, both without gradient; the other signs have one."""
    logprobs = torch.tensor([1.5, 0.5, 1.5, 0.5]).log().requires_grad_()
    advantages = torch.tensor([1.0, -1.0, -1.0, 1.0])
    loss = clipped_surrogate(logprobs, torch.zeros(4), advantages, 0.2)
    assert loss.tolist() == pytest.approx([-1.2, 0.8, 1.5, -0.5])
    assert torch.autograd.grad(loss.sum(), logprobs)[0].tolist() == pytest.approx([0.0, 0.0, 1.5, -0.5])


def test_the_value_loss_with_and_without_a_clip():
    """Errors 2 and 1: 2.5. Moved from 0 to 2 with a limit of .5, a value counts as .5: its error 1.5 beats 0 (target 2)."""
    values, returns, old = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0]), torch.zeros(2)
    assert ppo_value(values, returns, old).item() == 2.5
    clipped = ppo_value(torch.tensor([2.0]), torch.tensor([2.0]), torch.zeros(1), clip_range=0.5)
    assert clipped.item() == 1.5**2


def test_the_whole_loss_of_two_decisions_and_its_gradient():
    """Clip .2, c1 .5. One token at ratio 1.5, advantage 1: -1.2. Two at .5 and 1, advantage -1: (.8 + 1) / 2 = .9.

    Values 1 and 0 for targets 1.5 and 2: (.25 + 4) / 2 = 2.125. Together -.15 + .5 x 2.125 = .9125. Of the tokens only the
    unclipped one has a gradient, 1 / 2 tokens / 2 decisions; the values have .5 x (value - target).
    """
    groups = [
        TrainingGroup("a", TokenGroup((5,), ((6,),)), (0.0,), reference=(0.0,)),
        TrainingGroup("b", TokenGroup((5,), ((7, 8),)), (0.0,), reference=(0.0, 0.0)),
    ]
    decisions = (Decision("a", 0, advantage=1.0, target=1.5), Decision("b", 0, advantage=-1.0, target=2.0))
    groups = [replace(group, decision=of) for group, of in zip(groups, decisions, strict=True)]
    logprobs = torch.tensor([1.5, 0.5, 1.0]).log().requires_grad_()
    values = torch.tensor([1.0, 0.0], requires_grad=True)
    method = method_of(PpoSettings(clip_range=0.2, value_coefficient=0.5))
    loss, curves = method.loss(logprobs, replace(GroupBatch.of(groups), values_B=values), 0)
    assert loss.item() == pytest.approx(0.9125)
    assert curves["policy_loss"] == pytest.approx(-0.15)
    of_tokens, of_values = torch.autograd.grad(loss, (logprobs, values))
    assert of_tokens.tolist() == pytest.approx([0.0, 0.0, 0.25])
    assert of_values.tolist() == pytest.approx([-0.25, -1.0])


def test_the_value_loss_is_in_units_of_the_heads_scale():
    """Values 2 and 0 for targets 3 and 4 at scale 2: errors .5 and 2 units, (.25 + 4) / 2; moved from 0, 1 unit at most."""
    groups = [
        TrainingGroup(
            "a", TokenGroup((5,), ((6,),)), (0.0,), reference=(0.0,), decision=Decision("a", 0, target=target)
        )
        for target in (3.0, 4.0)
    ]
    values = torch.tensor([2.0, 0.0])
    batch = replace(GroupBatch.of(groups), values_B=values, value_scale=torch.tensor(2.0))
    logprobs = torch.zeros(2)
    for clip, expected in ((None, 2.125), (0.5, (1.0**2 + 4) / 2)):
        method = method_of(PpoSettings(value_clip_range=clip))
        assert method.loss(logprobs, batch, 0)[1]["value_loss"] == pytest.approx(expected)
    assert method.look(logprobs, batch)["value_loss"].tolist() == [0.25, 4.0]


def test_a_new_head_takes_the_size_of_the_first_returns():
    """1 and 5: 3 and 2. Equal ones have no spread: their size, 1 for nothing but 0, and one alone is equal to itself."""
    for returns, mean, scale in (
        ([1.0, 5.0], 3.0, 2.0),
        ([-50.0] * 3, -50.0, 50.0),
        ([0.0, 0.0], 0.0, 1.0),
        ([0.25], 0.25, 0.25),
        ([1e6, 1e6 + 0.1], 1e6, 1e6),
    ):
        head = ValueHead(4)
        assert head.new
        head.scale_to(torch.tensor(returns))
        assert not head.new
        assert (head.mean.item(), head.scale.item()) == pytest.approx((mean, scale))
        assert head(torch.randn(2, 4)).tolist() == pytest.approx([mean, mean])


def test_a_head_that_has_met_returns_keeps_its_scale(tmp_path, model):
    """The one of an earlier run goes on in its own units, saved and loaded."""
    adapted, tokenizer = model
    add_value_head(adapted, None)
    rows = [decision("one", 0, 1.0), decision("two", 0, 5.0)]
    settings = PpoSettings()
    data = load_groups(write_snapshot(tmp_path / "rows", "ppo", rows), tokenizer, settings, 64)
    with_advantages(adapted, data, settings)
    save_value_head(adapted, tmp_path)
    add_value_head(adapted, tmp_path)
    later = [decision("one", 0, 100.0), decision("two", 0, 300.0)]
    data = load_groups(write_snapshot(tmp_path / "later", "ppo", later), tokenizer, settings, 64)
    found = with_advantages(adapted, data, settings).train
    assert [group.decision.value for group in found] == [3.0, 3.0]
    assert (adapted.value_head.mean, adapted.value_head.scale) == (3.0, 2.0)


@pytest.fixture
def model(tiny):
    loaded = load_model(model_config(str(tiny)))
    return new_adapter(loaded.model, AdapterSettings(r=4), model_config(str(tiny))), loaded.tokenizer


GROUPS = (TokenGroup((5, 6, 7), ((8, 9), (8, 10, 11))), TokenGroup((5, 9), ((4,),)))


@pytest.mark.parametrize("shared", [True, False])
def test_values_are_read_at_the_end_of_each_prompt(model, monkeypatch, shared):
    """A head that reads one coordinate gives that coordinate of the plain model's last state, either way of computing."""
    adapted, _ = model
    add_value_head(adapted, None)
    torch.nn.init.constant_(adapted.value_head.linear.bias, 0.5)
    with torch.no_grad():
        adapted.value_head.linear.weight[0, 3] = 2.0
        use_group_attention(adapted)
        expected = [
            2.0 * adapted.get_base_model().model(torch.tensor([group.prompt])).last_hidden_state[0, -1, 3]
            + 0.5
            for group in GROUPS
        ]
    if not shared:
        monkeypatch.setattr(adapted.config, "attention_dropout", 0.1)
        adapted.eval()
    logprobs, values = logprobs_and_values(adapted, GROUPS)
    assert values.tolist() == pytest.approx([value.item() for value in expected], abs=1e-5)
    assert torch.equal(logprobs, group_logprobs(adapted, GROUPS))
    assert torch.autograd.grad(values.sum(), adapted.value_head.linear.weight)[0].abs().sum() > 0


def test_a_head_comes_back_from_its_folder_and_another_models_is_refused(model, tmp_path):
    """Saved beside the adapter; a file of another width is one clear error."""
    adapted, _ = model
    add_value_head(adapted, None)
    torch.nn.init.constant_(adapted.value_head.linear.weight, 0.25)
    save_value_head(adapted, tmp_path)
    add_value_head(adapted, tmp_path)
    assert adapted.value_head.linear.weight.unique().tolist() == [0.25]
    adapted.value_head.linear = torch.nn.Linear(7, 1)
    with pytest.raises(ModelError, match="no value head of this model"):
        load_value_head(adapted, tmp_path)


def decision(session: str, step: int, reward: float | None, **changes) -> dict[str, object]:
    values = {
        "id": f"{session}-{step}",
        "prompt": "Pick:",
        "completions": [" A"],
        "rewards": [reward],
        "split": "train",
        "metadata": {"session": session, "step": step},
    }
    return values | changes


def test_sessions_are_put_in_order_and_incomplete_ones_left_out(tmp_path, model):
    """Rows in any order; a session with a decision that can't be used goes as a whole, counted."""
    adapted, tokenizer = model
    rows = [
        decision("one", 1, 2.0),
        decision("two", 0, 1.0),
        decision("one", 0, 1.0),
        decision("broken", 0, 1.0),
        decision("broken", 1, None),
        decision("wrong", 0, 1.0, metadata={"session": "wrong", "step": "first"}),
        decision("choice", 0, 1.0, completions=[" A", " B"], rewards=[1.0, 0.0]),
        decision("alone", 0, 4.0, metadata={}),
    ]
    settings = PpoSettings(gamma=0.5, lam=1.0)
    data = load_groups(write_snapshot(tmp_path / "rows", "ppo", rows), tokenizer, settings, 64)
    assert data.dropped == {
        "reward missing": 1,
        "session incomplete": 1,
        "step is no whole number": 1,
        "several completions": 1,
    }
    worth = {group.id: group.decision for group in advantages_of(data.train, [0.5, 0.0, 0.0, 0.0], settings)}
    assert {name: of.advantage for name, of in worth.items()} == {
        "one-1": 1.5,
        "two-0": 1.0,
        "one-0": 2.0,
        "alone-0": 4.0,
    }
    assert worth["one-1"].target == 2.0
    add_value_head(adapted, None)
    whitened = [group.decision.advantage for group in with_advantages(adapted, data, settings).train]
    assert sum(whitened) == pytest.approx(0, abs=1e-6)
    assert torch.tensor(whitened).std().item() == pytest.approx(1)
