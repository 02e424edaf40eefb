"""Logged groups: whose log-probabilities stand in the ratio, what is too old, and what becomes of stale completions."""

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from core.dataset import ScoredGroup, write_snapshot
from core.errors import DataError
from core.language.config import model_config
from core.language.group import group_logprobs
from core.language.model import load_model
from core.language.row import TokenGroup
from core.language.tokens import completion_tokens, prompt_tokens
from core.training.batch import GroupBatch
from core.training.config import AdapterSettings, DpoSettings, GrpoSettings, GuardSettings, PpoSettings
from core.training.data import Decision, GroupData, TrainingGroup, load_groups
from core.training.guards import effective_share, guard, measure
from core.training.methods import method_of
from core.training.worker import train_here

HALVES = (math.log(0.5), math.log(0.5))
LOGGED = GrpoSettings(estimator="logged", beta=0.0, advantage_scale=1.0)


@pytest.fixture(scope="module")
def loaded(tiny):
    return load_model(model_config(str(tiny)), "fp32", torch.device("cpu"))


def row(name: str, **changes) -> dict[str, object]:
    values = {
        "id": name,
        "prompt": "Pick:",
        "completions": [" A", " B"],
        "rewards": [0.0, 1.0],
        "split": "train",
    }
    return values | changes


def group(behaviour=(), rewards=(1.0, 0.0), reference=HALVES, **rest) -> TrainingGroup:
    """Two completions of one token each, or as many as there are rewards."""
    tokens = TokenGroup((1, 2), tuple((3 + place,) for place in range(len(rewards))))
    return TrainingGroup("one", tokens, rewards, reference=reference, behaviour=behaviour, **rest)


@pytest.mark.parametrize(
    "behaviour", [[[-1.0]], [[-1.0], [0.5]], [[-1.0], [math.nan]], [[-math.inf], None], [["x"], None]]
)
def test_behaviour_is_one_tuple_of_log_probabilities_a_completion(behaviour):
    """One for two completions, a positive one, no number, infinity and a word are refused by name."""
    with pytest.raises(ValidationError, match="behaviour"):
        ScoredGroup(**row("one", behaviour=behaviour))


def test_only_log_probabilities_of_the_same_tokens_are_used(tmp_path, loaded):
    """' AB' is two tokens here: one with two, one with none, one logged by a tokenizer that makes three of it."""
    rows = [
        row("first", completions=[" AB", " B"], behaviour=[[-1.0, -2.0], None]),
        row("other", completions=[" AB", " B"], behaviour=[[-1.0, -2.0, -3.0], [-0.5]]),
        row("plain"),
    ]
    snapshot = write_snapshot(tmp_path / "rows", "grpo", rows)
    data = load_groups(snapshot, loaded.tokenizer, LOGGED, 64)
    first, other, plain = (group.behaviour for group in data.train)
    assert first[:2] == (-1.0, -2.0)
    assert math.isnan(first[2])
    assert all(map(math.isnan, other[:2]))
    assert other[2] == -0.5
    assert plain == ()
    assert data.behaviour == {"logged": 2, "not logged": 3, "other tokens": 1}


def test_the_ratio_is_to_the_behaviour_where_it_was_logged():
    """Policy .5 and .5; advantages .5 and -.5; drawn with .4 and .25, clip .2.

    Ratios 1.25 and 2: -min(.625, .6) and -min(-1, -.6), whose mean is .2. Where the second was not logged, the reference's
    .5 makes its ratio 1: the mean of -.6 and .5.
    """
    logprobs_N = torch.tensor([0.5, 0.5]).log()
    loss = method_of(LOGGED).loss
    for behaviour, expected in (((0.4, 0.25), 0.2), ((0.4, math.nan), -0.05), ((), 0.0)):
        batch = GroupBatch.of([group(tuple(map(math.log, behaviour)))])
        assert loss(logprobs_N, batch, 0)[0].item() == pytest.approx(expected, abs=1e-6)


def test_the_kl_stays_with_the_policy_that_training_starts_from():
    """At the start's own weights the KL is 0, whoever drew the completions."""
    batch = GroupBatch.of([group((-3.0, -4.0))])
    assert method_of(LOGGED).loss(batch.reference_N, batch, 0)[1]["kl"] == 0


def test_ppo_divides_by_the_behaviour_too():
    """Advantage 1, policy .5, drawn with .4: clipped at 1.2."""
    decision = group(
        (math.log(0.4),), rewards=(1.0,), reference=(-1.0,), decision=Decision("s", 0, advantage=1.0)
    )
    batch = replace(GroupBatch.of([decision]), values_B=torch.zeros(1))
    looked = method_of(PpoSettings()).look(torch.tensor([0.5]).log(), batch)
    assert looked["loss"].item() == pytest.approx(-1.2)


@pytest.mark.parametrize(
    ("weights", "expected"), [([1, 1, 2], 16 / 18), ([3, 3, 3, 3], 1.0), ([1e-9, 1e-9, 1, 1e-9], 0.25)]
)
def test_the_effective_sample_size_is_kishs(weights, expected):
    """(1 + 1 + 2)^2 / (1 + 1 + 4) = 2.667 of 3; equal weights count whole; one that has all counts as one of four."""
    assert effective_share(torch.tensor(weights).double().log()) == pytest.approx(expected)


def test_weights_too_large_for_a_float_are_still_weighed():
    """Log-ratios of 2,000 nats: one of two completions has all the mass."""
    assert effective_share(torch.tensor([2000.0, 0.0])) == 0.5


def test_drift_is_measured_on_logged_completions_only():
    """Drawn with .5, .25 under the start: k3 is .5 - 1 - log .5; the other completion's policy is not known."""
    drift = measure([group((math.log(0.5), math.nan), reference=(math.log(0.25), -1.0)), group()])
    assert (drift.completions, drift.ess) == (1, pytest.approx(1.0))
    assert drift.kl == pytest.approx(0.5 - 1 - math.log(0.5))
    assert measure([group()]) is None


STALE = group((-1.0, -9.0), reference=(-9.0, -1.0))
"""The start finds one completion e^8 times less probable than who drew it, and the other as much more."""


def stale(groups=(STALE,), **changes) -> tuple[GroupData, GrpoSettings]:
    settings = GrpoSettings(
        estimator="logged", learning_rate=3e-6, guards=GuardSettings(min_ess=0.6), **changes
    )
    return GroupData(tuple(groups), (), {"one completion": 2}, {"logged": 2}), settings


def test_stale_completions_are_refused_with_their_figures():
    """Both guards, their limits and what to do in one line."""
    with pytest.raises(DataError) as error:
        guard(*stale(on_stale="refuse"))
    assert "effective sample size of 0.5 (guards.min_ess 0.6) and a KL of 1.49e+03 nats a token" in str(
        error.value
    )
    assert "(guards.max_kl 0.2) over 2 logged completions" in str(error.value)
    assert "set on_stale to dpo or sft" in str(error.value)
    assert "\n" not in str(error.value)


def test_stale_completions_become_pairs():
    """DPO with the section's own settings; the reference stays; groups without a pair are counted."""
    same = group(rewards=(1.0, 0.0))
    same = TrainingGroup("same", TokenGroup((1,), ((2,), (2,))), same.rewards, reference=same.reference)
    guarded = guard(*stale([STALE, same]))
    assert guarded.settings == DpoSettings(learning_rate=3e-6)
    assert guarded.data.train == (STALE,)
    assert guarded.data.dropped == {"one completion": 2, "no pair far enough apart": 1}
    assert guarded.said.startswith(
        "trained by DPO on pairs from their rewards instead of grpo: the completions are"
    )


def test_or_the_best_of_each_group_is_imitated():
    """One completion a group, the one with the highest reward."""
    guarded = guard(*stale(on_stale="sft"))
    assert guarded.settings.method == "sft"
    best = guarded.data.train[0]
    assert (best.tokens.completions, best.rewards, best.weights) == (((3,),), (1.0,), (1.0,))
    assert GroupBatch.of([best]).reference_N.numel() == 0


def test_a_fallback_that_keeps_nothing_is_refused():
    """Two equal completions are no pair."""
    twins = TrainingGroup(
        "twins",
        TokenGroup((1,), ((2,), (2,))),
        (1.0, 0.0),
        reference=STALE.reference,
        behaviour=STALE.behaviour,
    )
    with pytest.raises(DataError, match="no pair far enough apart"):
        guard(*stale([twins]))


def test_ppo_has_no_fallback():
    """Single decisions are refused, and nobody is sent to a setting that is not there."""
    data = GroupData((STALE,), (), {}, {"logged": 2})
    with pytest.raises(DataError, match="stale for ppo") as error:
        guard(data, PpoSettings())
    assert "on_stale" not in str(error.value)


def test_rows_are_as_old_as_the_newest_row_says(tmp_path, loaded):
    """Two days before the newest, whatever the zone; without a time or with a word for one they are left out."""
    times = ["2026-03-10T12:00:00+02:00", "2026-03-08T10:00:00", "2026-03-08T09:59:59Z", "yesterday", None, 7]
    rows = [row(str(place), metadata={"logged_at": time}) for place, time in enumerate(times)]
    snapshot = write_snapshot(tmp_path / "rows", "grpo", rows)
    settings = GrpoSettings(estimator="logged", guards=GuardSettings(max_age_days=2))
    data = load_groups(snapshot, loaded.tokenizer, settings, 64)
    assert [group.id for group in data.train] == ["0", "1"]
    assert data.dropped == {"older than max_age_days": 1, "logged_at is no ISO time": 3}
    unlimited = settings.model_copy(update={"guards": GuardSettings(max_age_days=1e9)})
    assert len(load_groups(snapshot, loaded.tokenizer, unlimited, 64).train) == 3


def test_rows_of_older_policies_are_left_out(tmp_path, loaded):
    """The newest is 7 and one version behind is allowed; groups of two are too small where three are asked for."""
    three = {"completions": [" A", " B", " C"], "rewards": [0.0, 0.5, 1.0]}
    rows = [
        row(str(version), metadata={"policy_version": version}, **three) for version in (7, 6, 5, "6", True)
    ]
    rows.append(row("small", metadata={"policy_version": 7}))
    snapshot = write_snapshot(tmp_path / "rows", "grpo", rows)
    settings = GrpoSettings(estimator="logged", min_group_size=3, guards=GuardSettings(max_versions_behind=1))
    data = load_groups(snapshot, loaded.tokenizer, settings, 64)
    assert [group.id for group in data.train] == ["7", "6"]
    assert data.dropped == {
        "more than max_versions_behind": 1,
        "policy_version is no whole number": 2,
        "fewer completions than min_group_size": 1,
    }


def test_guards_leave_alone_what_draws_its_own_answers(tmp_path, loaded):
    """The expectation over a choice needs no behaviour, and no age."""
    rows = [row("old", metadata={"logged_at": "1999-01-01"}, behaviour=[[-9.0], [-1.0]])]
    settings = GrpoSettings(guards=GuardSettings(max_age_days=1))
    data = load_groups(write_snapshot(tmp_path / "rows", "grpo", rows), loaded.tokenizer, settings, 64)
    assert data.train[0].behaviour == ()
    assert guard(data, settings).settings is settings


def logged_rows(loaded, shift: float) -> list[dict[str, object]]:
    """Eight groups of two letters, drawn by the model itself or by one that is `shift` nats off either way."""
    rows = []
    for place in range(8):
        values = row(str(place), prompt=f"Pick {place}:", rewards=[float(place % 2), float(1 - place % 2)])
        tokens = TokenGroup(
            prompt_tokens(loaded.tokenizer, values["prompt"]),
            tuple(completion_tokens(loaded.tokenizer, text) for text in values["completions"]),
        )
        with torch.no_grad():
            own = group_logprobs(loaded.model, [tokens]).tolist()
        behaviour = [[min(value + shift, 0.0)] if side else [value - shift] for side, value in enumerate(own)]
        rows.append(values | {"behaviour": behaviour})
    return rows


@pytest.mark.parametrize(
    ("shift", "on_stale", "method", "said"),
    [
        (
            0.0,
            "refuse",
            "grpo",
            "16 of 16 completions with usable behaviour log-probabilities; effective sample size 1 of",
        ),
        (6.0, "dpo", "dpo", "trained by DPO on pairs from their rewards instead of grpo"),
        (6.0, "sft", "sft", "trained by SFT on the best of each group instead of grpo"),
    ],
)
def test_a_run_on_logged_groups_says_what_it_did(  # noqa: PLR0917
    tmp_path, tiny, loaded, spec_of, settings_of, shift, on_stale, method, said
):
    """Fresh completions train by GRPO; stale ones by the fallback, and the checkpoint names the method and the figures."""
    snapshot = write_snapshot(tmp_path / "rows", "grpo", logged_rows(loaded, shift))
    settings = settings_of["grpo"](estimator="logged", on_stale=on_stale, epochs=1)
    tuned = train_here(spec_of(tiny, snapshot, tmp_path / "run", settings, adapter=AdapterSettings(r=4)))
    assert tuned.method == method
    assert any(sentence.startswith(said) for sentence in tuned.notes["said"])
