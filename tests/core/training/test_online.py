"""Completions that the policy draws while it is trained: what stands in the loss, and what is left out of it."""

import math

import pytest
import torch

from core.dataset import write_snapshot
from core.errors import TrainingError
from core.language.config import model_config
from core.language.group import group_logprobs
from core.language.model import load_model
from core.training.adapter import new_adapter
from core.training.answers import Answers
from core.training.batch import GroupBatch
from core.training.config import AdapterSettings, GrpoSettings, PpoSettings
from core.training.data import load_groups
from core.training.drawing import draws_of
from core.training.methods import method_of
from core.training.methods.online import drawn_curves
from core.training.reference import StartWeights, reference_logprobs
from core.training.schedule import GroupOrder
from core.training.value_head import add_value_head

CHOICE = {"answers": "listed", "sampling": {"max_tokens": 2, "temperature": 1.5}}
FREE = {"sampling": {"max_tokens": 3}, "reward": "tests.core.training.test_online:letters"}


def letters(prompt, completions, metadata):
    """More letters earn more; an empty one can't be scored."""
    return [len(text) or None for text in completions]


def nothing(prompt, completions, metadata):
    """No judge is at home."""
    return [None for _ in completions]


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    loaded = load_model(model_config(str(tiny)), "fp32", torch.device("cpu"))
    return new_adapter(loaded.model, AdapterSettings(r=4), model_config(str(tiny))), loaded.tokenizer


def moved(model) -> None:
    """A policy away from its start."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight), alpha=0.3)


def grpo(**changes) -> GrpoSettings:
    values = {"estimator": "online", "group_size": 6, "online": CHOICE, "batch_size": 4, "beta": 0.1}
    return GrpoSettings(**(values | changes))


def loaded(choices, tokenizer, settings):
    return load_groups(choices, tokenizer, settings, 256)


def test_rows_that_can_not_be_answered_are_counted(tmp_path, model):
    """Without room, reward, or an answer short enough; a row without completions can be written for, not chosen from."""
    row = {"prompt": "Pick:", "completions": [" A", " B"], "rewards": [0.0, 1.0], "split": "train"}
    changes = {
        "good": {},
        "equal rewards": {"rewards": [1.0, 1.0]},
        "none": {"completions": [], "rewards": []},
        "missing": {"rewards": [1.0, None]},
        "twice": {"completions": [" A", " A"]},
        "long": {"completions": [" A", " AAAA"]},
        "empty": {"completions": [" A", ""]},
        "no room": {"prompt": "x" * 63},
        "no prompt": {"prompt": ""},
    }
    rows = [row | {"id": name} | change for name, change in changes.items()]
    snapshot = write_snapshot(tmp_path / "rows", "grpo", rows)
    data = load_groups(snapshot, model[1], grpo(), 64)
    assert [group.id for group in data.train] == ["good", "equal rewards"]
    assert data.dropped == {
        "reward missing": 2,
        "an answer twice": 1,
        "an answer longer than max_tokens": 1,
        "empty completion": 1,
        "max_tokens reach beyond the context": 1,
        "empty prompt": 1,
    }
    written = load_groups(snapshot, model[1], grpo(online=FREE), 64)
    assert "none" in [group.id for group in written.train]
    assert load_groups(snapshot, model[1], grpo(estimator="exact"), 64).dropped["no completion"] == 1


def test_the_ratio_of_the_first_update_is_one(model, choices):
    """What the rollout kept is what training computes: tempered, and renormalised over the listed answers."""
    adapted, tokenizer = model
    moved(adapted)
    settings = grpo()
    drawn = draws_of(settings, adapted, tokenizer, loaded(choices, tokenizer, settings)).batch(
        loaded(choices, tokenizer, settings).train[:4], 0
    )
    batch = GroupBatch.of(drawn.groups)
    assert len(batch.groups) >= 2
    adapted.eval()
    now_N = group_logprobs(adapted, batch.tokens, **batch.distribution)
    assert (now_N - batch.old_N).abs().max() < 1e-5
    assert (group_logprobs(adapted, batch.tokens) - batch.old_N).abs().max() > 0.1


def test_the_reference_is_the_starts_in_the_same_distribution_and_the_policy_comes_back(model, choices):
    """The start's log-probabilities of the new completions, to the bit; the weights are the same tensors afterwards."""
    adapted, tokenizer = model
    settings = grpo()
    draws = draws_of(settings, adapted, tokenizer, loaded(choices, tokenizer, settings))
    start = {name: value.clone() for name, value in adapted.state_dict().items()}
    moved(adapted)
    before = {name: value.clone() for name, value in adapted.named_parameters()}
    places = {name: value.data_ptr() for name, value in adapted.named_parameters()}
    drawn = draws.batch(loaded(choices, tokenizer, settings).train[:4], 0)
    assert all(torch.equal(value, before[name]) for name, value in adapted.named_parameters())
    assert {name: value.data_ptr() for name, value in adapted.named_parameters()} == places
    assert adapted.training
    adapted.load_state_dict(start)
    assert torch.equal(GroupBatch.of(drawn.groups).reference_N, reference_logprobs(adapted, drawn.groups))


def test_without_a_kl_no_reference_is_computed(model, choices):
    """Neither beta nor max_kl: the loss and its curves do without."""
    settings = grpo(beta=0.0)
    data = loaded(choices, model[1], settings)
    batch = GroupBatch.of(draws_of(settings, *model, data).batch(data.train[:4], 0).groups)
    assert batch.reference_N.numel() == 0
    loss, curves = method_of(settings).loss(batch.old_N.clone().requires_grad_(), batch, 0)
    assert loss.item() == pytest.approx(0, abs=1e-6)  # advantages of a group sum to 0
    assert curves == {"ess": pytest.approx(1.0)}


def test_one_draw_serves_several_updates_and_another_step_draws_anew(model, choices):
    """Two updates on each draw: steps 0 and 1 see the same completions, step 2 others, and step 0 again the same."""
    settings = grpo(num_iterations=2)
    data = loaded(choices, model[1], settings)
    draws = draws_of(settings, *model, data)
    first, second, third, again = (draws.batch(data.train[:4], step) for step in (0, 1, 2, 0))
    assert [group.tokens for group in first.groups] == [group.tokens for group in second.groups]
    assert [group.tokens for group in first.groups] != [group.tokens for group in third.groups]
    assert first == again


def test_parts_of_a_batch_draw_what_the_batch_would(model, choices):
    """Each prompt has random numbers of its own."""
    settings = grpo()
    data = loaded(choices, model[1], settings)
    whole = draws_of(settings, *model, data).batch(data.train[:4], 3)
    draws = draws_of(settings, *model, data)
    parts = [*draws.batch(data.train[:2], 3).groups, *draws.batch(data.train[2:4], 3).groups]
    assert [(group.id, group.tokens) for group in parts] == [
        (group.id, group.tokens) for group in whole.groups
    ]


@pytest.mark.parametrize("loss_type", ["sequence", "token"])
def test_groups_of_equal_rewards_add_nothing_but_count(model, choices, loss_type):
    """The loss of the batch without them, weighted, is the loss with them; the curve says how many they were."""
    settings = grpo(beta=0.0, group_size=2, loss_type=loss_type)
    data = loaded(choices, model[1], settings)
    groups = data.train[:12]
    answers = Answers(*model, settings.online, count=2, seed=0, start=None)
    everything = [one.group for one in answers.draw(groups, 0)]
    drawn = draws_of(settings, *model, data).batch(groups, 0)
    assert 0 < len(drawn.groups) < 12
    assert drawn.curves["equal_rewards"] == pytest.approx(1 - len(drawn.groups) / 12)
    loss = method_of(settings).loss

    def of(groups):
        batch = GroupBatch.of(groups)
        tokens = [token for group in groups for part in group.tokens.completions for token in part]
        return loss(batch.old_N + torch.tensor([0.1 * (token % 4) for token in tokens]), batch, 0)[0]

    assert of(everything).abs() > 1e-3
    assert drawn.weight * of(drawn.groups).item() == pytest.approx(of(everything).item(), abs=1e-6)


def test_cut_completions_are_left_out_and_counted(model, choices):
    """Three tokens of a random model end rarely: most are cut. They are as if never drawn, or as if whole by setting."""
    settings = grpo(online=FREE)
    data = loaded(choices, model[1], settings)
    drawn = draws_of(settings, *model, data).batch(data.train[:4], 0)
    assert drawn.curves["cut"] > 0.5
    assert all(len(group.rewards) == len(group.tokens.completions) for group in drawn.groups)
    assert sum(len(group.rewards) for group in drawn.groups) <= 24 * (1 - drawn.curves["cut"]) + 1e-6
    kept = grpo(online=FREE | {"train_cut": True})
    trained = draws_of(kept, *model, data).batch(data.train[:4], 0)
    assert trained.curves["cut"] == drawn.curves["cut"]
    assert sum(len(group.rewards) for group in trained.groups) > sum(
        len(group.rewards) for group in drawn.groups
    )


def test_completions_without_a_score_are_left_out_and_counted(model, choices):
    """No judge: nothing is trained on, nothing earns 0."""
    settings = grpo(online=CHOICE | {"reward": "tests.core.training.test_online:nothing"})
    data = loaded(choices, model[1], settings)
    drawn = draws_of(settings, *model, data).batch(data.train[:4], 0)
    assert (drawn.groups, drawn.weight) == ([], 0.0)
    assert drawn.curves == {"cut": 0.0, "unscored": 1.0, "length": 1.0, "equal_rewards": 1.0}


def ppo(**changes) -> PpoSettings:
    values = {
        "source": "online",
        "online": CHOICE,
        "batch_size": 4,
        "gamma": 0.5,
        "lam": 1.0,
        "whiten": False,
    }
    return PpoSettings(**(values | changes))


def session_rows(tmp_path):
    rows = [
        {
            "id": f"{session}-{step}",
            "prompt": f"{session} {step}:",
            "completions": [" A", " B"],
            "rewards": [worth * (1.0 + step)] * 2,
            "split": "train",
            "metadata": {"session": session, "step": step},
        }
        for session, worth in (("one", 1.0), ("two", 3.0))
        for step in (0, 1)
    ]
    return write_snapshot(tmp_path / "rows", "ppo", rows)


def test_ppo_answers_whole_sessions_and_values_them(tmp_path, model):
    """Whatever is answered earns 1, then 2, or three times that: at gamma .5 and lambda 1 the returns are 2, 2, 6 and 6.

    The new head takes their mean 4 and deviation 2: it expects 4 everywhere.
    """
    adapted, tokenizer = model
    add_value_head(adapted, None)
    settings = ppo()
    data = load_groups(session_rows(tmp_path), tokenizer, settings, 64)
    draws = draws_of(settings, adapted, tokenizer, data)
    drawn = draws.batch(data.train, 0)
    assert [group.decision.advantage for group in drawn.groups] == [-2.0, -2.0, 2.0, 2.0]
    assert [group.decision.target for group in drawn.groups] == [2.0, 2.0, 6.0, 6.0]
    assert (adapted.value_head.mean, adapted.value_head.scale) == (4.0, 2.0)
    assert all(len(group.tokens.completions) == 1 for group in drawn.groups)
    assert drawn.curves["broken_sessions"] == 0
    assert adapted.training


def first_fails(prompt, completions, metadata):
    """The first decision of session 'one' has no score."""
    return [None if prompt == "one 0:" else 1.0 for _ in completions]


def test_a_session_with_a_gap_is_left_out_of_its_iteration(tmp_path, model):
    """Its other decision goes with it; when no session is left, the run ends with the reason."""
    adapted, tokenizer = model
    add_value_head(adapted, None)
    settings = ppo(online=CHOICE | {"reward": "tests.core.training.test_online:first_fails"})
    data = load_groups(session_rows(tmp_path), tokenizer, settings, 64)
    drawn = draws_of(settings, adapted, tokenizer, data).batch(data.train, 0)
    assert [group.id for group in drawn.groups] == ["two-0", "two-1"]
    assert (drawn.curves["broken_sessions"], drawn.curves["unscored"]) == (0.5, 0.25)
    settings = ppo(online=CHOICE | {"reward": "tests.core.training.test_online:nothing"})
    with pytest.raises(TrainingError, match=r"no session of iteration 1 .* 100% had no score"):
        draws_of(settings, adapted, tokenizer, data).batch(data.train, 0)


def test_each_of_ppos_iterations_has_whole_batches_of_its_own():
    """Ten groups twice over in batches of 4: 5 steps an iteration, 3 iterations; 3 groups fill a batch of 4 by coming again."""
    order = GroupOrder(10, ppo(epochs=2, iterations=3))
    assert (order.updates, len(order)) == (5, 60)
    assert sorted(list(order)[:10]) == sorted(list(order)[20:30]) == list(range(10))
    assert list(order)[:20] != list(order)[20:40]
    few = GroupOrder(3, ppo(epochs=1, iterations=2))
    assert (few.updates, len(few)) == (1, 8)
    assert set(list(few)[:4]) == {0, 1, 2}


def test_start_weights_come_back_whatever_happens(model):
    """An error inside leaves the policy in place."""
    adapted, _ = model
    start = StartWeights(adapted)
    moved(adapted)
    before = [value.clone() for value in adapted.parameters()]
    with pytest.raises(RuntimeError, match="stop"), start.in_place():
        raise RuntimeError("stop")
    assert all(torch.equal(now, then) for now, then in zip(adapted.parameters(), before, strict=True))


def test_a_server_answers_training_prompts_and_the_model_held_out_ones(server, model, choices):
    """Its uniform choice among four letters stands in the ratio; what it serves is never judged for what is trained."""
    served = {"backend": "vllm", "url": server.url, "model": "night-7"}
    settings = grpo(online={"answers": "listed", "sampling": {"max_tokens": 1}, "rollout": served})
    data = loaded(choices, model[1], settings)
    draws = draws_of(settings, *model, data)
    batch = GroupBatch.of(draws.batch(data.train[:4], 0).groups)
    assert batch.old_N.tolist() == pytest.approx([-math.log(4)] * len(batch.old_N))
    assert len(batch.groups) == 4
    asked = len(server.asked)
    assert len(draws.held_out(data.held_out)) == len(data.held_out)
    assert len(server.asked) == asked > 4


def test_the_curve_ess_says_how_many_draws_still_count(model, choices):
    """Six draws at the start; where one has become e^20 times likelier than the others, one."""
    settings = grpo(beta=0.0)
    data = loaded(choices, model[1], settings)
    batch = GroupBatch.of(draws_of(settings, *model, data).batch(data.train[:1], 0).groups)
    moved_N = batch.old_N.clone()
    moved_N[0] += 20
    assert drawn_curves(moved_N, batch)["ess"] == pytest.approx(1 / 6)
