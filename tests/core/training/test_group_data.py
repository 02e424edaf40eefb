"""Rows become groups, or are left out for a reason that is counted."""

import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from core.dataset import Snapshot, write_snapshot
from core.errors import DataError, SnapshotError
from core.files import file_digest
from core.given_rows import given_rows
from core.language.config import model_config
from core.language.model import load_model
from core.language.sampling import SamplingSettings
from core.training.batch import GroupBatch
from core.training.config import DpoSettings, KtoSettings, OnlineSettings, PpoSettings
from core.training.data import load_groups
from core.training.pairs import preference_pairs


@pytest.fixture(scope="module")
def tokenizer(tiny: Path):
    return load_model(model_config(str(tiny))).tokenizer


def row(name: str, **changes) -> dict[str, object]:
    values = {
        "id": name,
        "prompt": "Pick:",
        "completions": [" A", " B"],
        "rewards": [0.0, 1.0],
        "split": "train",
    }
    return values | changes


def test_unusable_rows_are_counted_by_reason(tmp_path, tokenizer, settings_of):
    """Each broken row is left out under its own name; the good ones and the held-out one stay."""
    rows = [
        row("good"),
        row("held out, equal rewards", rewards=[1.0, 1.0], split="test"),
        row("equal", rewards=[1.0, 1.0]),
        row("missing", rewards=[1.0, None]),
        row("single", completions=[" A"], rewards=[1.0]),
        row("empty", completions=[" A", ""]),
        row("no prompt", prompt=""),
        row("long", prompt="x" * 100),
        row("twice", completions=[" A", " A"]),
    ]
    snapshot = write_snapshot(tmp_path / "rows", "grpo", rows)
    data = load_groups(snapshot, tokenizer, settings_of["grpo"](), 64)
    assert [group.id for group in data.train] == ["good"]
    assert [group.id for group in data.held_out] == ["held out, equal rewards"]
    assert data.dropped == {
        "equal rewards": 1,
        "reward missing": 1,
        "one completion": 1,
        "empty completion": 1,
        "empty prompt": 1,
        "longer than the context": 1,
        "an answer twice": 1,
    }


def test_the_test_is_not_looked_at_where_rows_are_for_validation(tmp_path, tokenizer, settings_of):
    """A checkpoint that was chosen on the test's own rows would be judged by them too."""
    rows = [row("good"), row("seen", split="validation"), row("unseen", split="test")]
    for name, given, seen in (("both", rows, ["seen"]), ("test alone", rows[::2], ["unseen"])):
        data = load_groups(
            write_snapshot(tmp_path / name, "grpo", given), tokenizer, settings_of["grpo"](), 64
        )
        assert [group.id for group in data.train] == ["good"]
        assert [group.id for group in data.held_out] == seen


UNUSABLE = {
    "long completion": ({"completions": [" A", " B" * 64]}, "longer than the context"),
    "empty completion": ({"completions": [" A", ""]}, "empty completion"),
    "empty prompt": ({"prompt": ""}, "empty prompt"),
    "no number": ({"rewards": [0.0, math.nan], "weights": [0.5, math.nan]}, "reward missing"),
    "infinite": ({"rewards": [0.0, math.inf], "weights": [0.5, math.inf]}, "reward missing"),
}


@pytest.mark.parametrize("method", ["sft", "grpo", "dpo", "kto", "ppo"])
@pytest.mark.parametrize("name", UNUSABLE)
def test_every_method_counts_what_it_cannot_use(tmp_path, tokenizer, settings_of, method, name):
    """Whole rows go, under their reason: no completion is cut, no NaN becomes a number. SFT has weights for rewards."""
    changes, reason = UNUSABLE[name]
    rows = [row("good", weights=[0.5, 0.5]), row("other", prompt="Choose:", weights=[0.5, 0.5])]
    rows.append(row("bad", **({"weights": [0.5, 0.5]} | changes)))
    if method == "ppo":  # decisions are single completions
        rows = [one | {key: one[key][1:] for key in ("completions", "rewards", "weights")} for one in rows]
    data = load_groups(by_hand(tmp_path, rows), tokenizer, settings_of[method](), 64)
    assert [group.id for group in data.train] == ["good", "other"]
    expected = "no weights" if method == "sft" and reason == "reward missing" else reason
    assert data.dropped == {expected: 1}


def by_hand(folder: Path, rows: list[dict[str, object]]) -> Snapshot:
    """A snapshot of rows that ours would not write: a foreign program's JSON may hold NaN."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return Snapshot(kind="rows", path=str(folder), sha256=file_digest(path), counts={"rows": len(rows)})


def test_rewards_that_are_no_numbers_are_not_written(tmp_path):
    """The stage that makes them fails, and names the row."""
    with pytest.raises(DataError, match=r"row 0 \(bad\) can't be written as JSON.*drop or repair it"):
        write_snapshot(tmp_path / "rows", "grpo", [row("bad", rewards=[0.0, math.nan])])


def test_rows_cut_short_are_refused(tmp_path, tokenizer, settings_of):
    """Their digest is another: nothing is trained on what is left of them."""
    snapshot = by_hand(tmp_path, [row("one"), row("two")])
    path = tmp_path / "rows.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SnapshotError, match=str(path)):
        load_groups(snapshot, tokenizer, settings_of["grpo"](), 64)


def test_nothing_left_is_an_error_that_says_why(tmp_path, tokenizer, settings_of):
    """Only equal rewards: the message holds the count."""
    snapshot = write_snapshot(tmp_path / "rows", "grpo", [row("equal", rewards=[1.0, 1.0])])
    with pytest.raises(DataError, match="'equal rewards': 1"):
        load_groups(snapshot, tokenizer, settings_of["grpo"](), 64)


def test_targets_are_normalised_and_a_lone_completion_needs_none(tmp_path, tokenizer, settings_of):
    """Weights 3 and 1 become .75 and .25."""
    snapshot = write_snapshot(tmp_path / "rows", "sft", [row("choice", weights=[3.0, 1.0])])
    assert load_groups(snapshot, tokenizer, settings_of["sft"](), 64).train[0].weights == (0.75, 0.25)
    snapshot = write_snapshot(tmp_path / "text", "sft", [row("text", completions=[" AB"], rewards=[])])
    assert load_groups(snapshot, tokenizer, settings_of["sft"](), 64).train[0].weights == (1.0,)


def test_a_completion_of_no_weight_is_not_imitated(tmp_path, tokenizer, settings_of):
    """Alone or among others: what is to be imitated by 0 teaches nothing, and is counted."""
    rows = [
        row("text", completions=[" AB"], rewards=[]),
        row("none", completions=[" AC"], weights=[0.0], rewards=[]),
    ]
    data = load_groups(write_snapshot(tmp_path / "rows", "sft", rows), tokenizer, settings_of["sft"](), 64)
    assert ([group.id for group in data.train], data.dropped) == (["text"], {"no weights": 1})


@pytest.mark.parametrize("method", ["sft", "grpo", "dpo", "kto"])
def test_an_id_stands_for_one_row(tmp_path, tokenizer, settings_of, method):
    """What is drawn for a group is kept by its id: another row of the same one is left out, counted."""
    rows = [
        row("bad", prompt=""),
        *(
            row(name, prompt=f"{place}:", weights=[0.5, 0.5])
            for place, name in enumerate(["a", "b", "a", "bad"])
        ),
    ]
    data = load_groups(write_snapshot(tmp_path / "rows", method, rows), tokenizer, settings_of[method](), 64)
    assert [group.id for group in data.train] == ["a", "b", "bad"]
    assert data.dropped == {"empty prompt": 1, "id twice": 1}


def test_a_session_with_an_id_twice_is_not_whole(tmp_path, tokenizer, settings_of):
    """One of its decisions goes, and so does the session."""
    one = {"completions": [" A"], "rewards": [1.0], "metadata": {"session": "s"}}
    rows = [row("a", **one), row("a", **one), row("b", completions=[" A"], rewards=[0.0])]
    data = load_groups(write_snapshot(tmp_path / "rows", "ppo", rows), tokenizer, settings_of["ppo"](), 64)
    assert [group.id for group in data.train] == ["b"]
    assert data.dropped == {"id twice": 1, "session incomplete": 1}


def test_choices_and_single_completions_do_not_mix(tmp_path, tokenizer, settings_of):
    """Their losses are means over different things."""
    rows = [row("choice", weights=[1.0, 0.0]), row("text", completions=[" AB"], rewards=[])]
    snapshot = write_snapshot(tmp_path / "rows", "sft", rows)
    with pytest.raises(DataError, match="mixes"):
        load_groups(snapshot, tokenizer, settings_of["sft"](), 64)


def test_held_out_groups_are_taken_evenly(tmp_path, tokenizer, settings_of):
    """3 of 9: the first of each third."""
    rows = [row("train"), *(row(str(index), split="test") for index in range(9))]
    snapshot = write_snapshot(tmp_path / "rows", "grpo", rows)
    data = load_groups(snapshot, tokenizer, settings_of["grpo"](eval_groups=3), 64)
    assert [group.id for group in data.held_out] == ["0", "3", "6"]


def test_a_batch_is_a_padded_table(tmp_path, tokenizer, settings_of):
    """A group of two and a group of three: five values fill a 2 x 3 table, and come back."""
    rows = [row("two"), row("three", completions=[" A", " B", " C"], rewards=[0.0, 0.5, 1.0])]
    groups = load_groups(
        write_snapshot(tmp_path / "rows", "grpo", rows), tokenizer, settings_of["grpo"](), 64
    ).train
    batch = GroupBatch.of(groups)
    values = torch.arange(1.0, 6.0)
    assert batch.table(values).tolist() == [[1, 2, 0], [3, 4, 5]]
    assert batch.of_completions(batch.table(values)).tolist() == values.tolist()
    assert batch.rewards_B_G.tolist() == [[0, 1, 0], [0, 0.5, 1]]
    assert batch.legal_B_G.tolist() == [[True, True, False], [True, True, True]]


def test_rows_without_a_preference_are_counted_for_dpo(tmp_path, tokenizer, settings_of):
    """Equal rewards (held out too), rewards too close, equal completions, one completion, no reward."""
    rows = [
        row("good"),
        row("equal", rewards=[1.0, 1.0], split="test"),
        row("close", rewards=[1.0, 0.9]),
        row("twice", completions=[" A", " A"]),
        row("single", completions=[" A"], rewards=[1.0]),
        row("missing", rewards=[None, 1.0]),
        row("empty", completions=[" A", ""]),
        row("long", prompt="x" * 100),
    ]
    snapshot = write_snapshot(tmp_path / "rows", "dpo", rows)
    data = load_groups(snapshot, tokenizer, settings_of["dpo"](min_difference=0.2), 64)
    assert [group.id for group in data.train] == ["good"]
    assert data.held_out == ()
    assert data.dropped == {
        "equal rewards": 1,
        "no pair far enough apart": 2,
        "one completion": 1,
        "reward missing": 1,
        "empty completion": 1,
        "longer than the context": 1,
    }


FOUR = ((1,), (2,), (3,), (4,))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [(0, 3), (0, 1), (1, 3), (0, 2), (2, 3)]),
        ({"pairs": "best"}, [(0, 3), (0, 1), (0, 2)]),
        ({"min_difference": 0.5}, [(0, 3)]),
        ({"max_pairs": 2}, [(0, 3), (0, 1)]),
    ],
)
def test_pairs_come_from_a_groups_rewards(changes, expected):
    """Rewards 1, .5, .5, 0: the widest first; among equals each completion in turn."""
    assert preference_pairs([1.0, 0.5, 0.5, 0.0], FOUR, DpoSettings(**changes)) == expected


def test_a_cap_on_equal_differences_uses_every_completion():
    """Two liked and two disliked, capped at two pairs: four completions, each once."""
    pairs = preference_pairs([1.0, 1.0, 0.0, 0.0], FOUR, DpoSettings(max_pairs=2))
    assert sorted(place for pair in pairs for place in pair) == [0, 1, 2, 3]


def test_equal_completions_are_no_pair():
    """A completion that was liked once and disliked once says nothing."""
    assert preference_pairs([1.0, 0.0], ((1,), (1,)), DpoSettings()) == []


def test_kto_needs_only_a_reward_a_completion_unless_the_mean_decides(tmp_path, tokenizer, settings_of):
    """Single and equal completions stay at a fixed limit, and are left out where the group's mean is the limit."""
    rows = [
        row("good"),
        row("single", prompt="Choose:", completions=[" A"], rewards=[1.0]),
        row("equal", rewards=[1.0, 1.0]),
        row("missing", rewards=[1.0, None]),
        row("other", prompt="Take:"),
    ]
    snapshot = write_snapshot(tmp_path / "rows", "kto", rows)
    data = load_groups(snapshot, tokenizer, settings_of["kto"](), 64)
    assert [group.id for group in data.train] == ["good", "single", "equal", "other"]
    assert data.dropped == {"reward missing": 1}
    data = load_groups(snapshot, tokenizer, settings_of["kto"](desirable_above="mean"), 64)
    assert [group.id for group in data.train] == ["good", "other"]
    assert data.dropped == {"one completion": 1, "equal rewards": 1, "reward missing": 1}


def test_ktos_mismatched_completions_come_from_the_prompt_before(tmp_path, tokenizer, settings_of):
    """As many as the prompt has own ones; none of the same prompt, none longer than the context; outside all tables."""
    rows = [
        row("one"),
        row("same prompt", completions=[" C", " D"]),
        row("two", prompt="Choose:", completions=[" E"], rewards=[1.0]),
        row("long", prompt="y" * 62),
    ]
    snapshot = write_snapshot(tmp_path / "rows", "kto", rows)
    groups = load_groups(snapshot, tokenizer, settings_of["kto"](), 64).train
    assert [group.mismatched for group in groups] == [2, 0, 1, 2]
    one, same, two, long = (group.tokens.completions for group in groups)
    assert one[2:] == long[:2]
    assert two[1:] == same[:1]
    batch = GroupBatch.of(groups)
    assert batch.legal_B_G.sum(-1).tolist() == [2, 2, 1, 2]
    assert batch.mismatched_B_G.tolist()[2] == [False, True, False, False]
    assert max(group.tokens.longest for group in groups) <= 64


def test_kto_on_one_prompt_is_refused(tmp_path, tokenizer, settings_of):
    """There is no other prompt whose completions could measure the reference point."""
    snapshot = write_snapshot(tmp_path / "rows", "kto", [row("one"), row("two")])
    with pytest.raises(DataError, match="one prompt only"):
        load_groups(snapshot, tokenizer, settings_of["kto"](), 64)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (DpoSettings, {"label_smoothing": 0.5}),
        (DpoSettings, {"loss_type": "ipo", "label_smoothing": 0.1}),
        (DpoSettings, {"beta": 0}),
        (DpoSettings, {"max_pairs": 0}),
        (KtoSettings, {"desirable_weight": 0}),
        (KtoSettings, {"desirable_above": "median"}),
        (PpoSettings, {"gamma": 1.1}),
        (PpoSettings, {"clip_range": 1}),
    ],
)
def test_settings_without_a_meaning_are_refused(kind, changes):
    """Each names its field."""
    with pytest.raises(ValidationError, match=next(iter(changes))):
        kind(**changes)


@pytest.mark.parametrize("method", ["sft", "grpo", "dpo", "kto", "ppo"])
def test_a_given_file_can_be_trained_on_by_every_method(tmp_path, tokenizer, settings_of, method):
    """Decisions for SFT, KTO and PPO, and groups for GRPO and DPO: nothing is left out but what is held out."""
    one = {"prompt": "Pick:", "completion": " A", "reward": 1.0}
    several = {"prompt": "Pick:", "completions": [" A", " B"], "rewards": [0.0, 1.0]}
    line = several if method in ("grpo", "dpo") else one
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "\n".join(json.dumps(line | {"id": str(number), "prompt": f"{number}:"}) for number in range(20))
    )
    snapshot = given_rows(path, file_digest(path), tmp_path / "rows")
    data = load_groups(snapshot, tokenizer, settings_of[method](), 64)
    assert (len(data.train), len(data.held_out), data.dropped) == (18, 2, {})


def test_sft_imitates_of_an_apps_file_what_its_users_accepted(tmp_path, tokenizer, settings_of):
    """PPO learns of all of it; a line that names no feedback is nobody's refusal."""
    said = [
        {"userFeedback": "CONFIRMED"},
        {"userFeedback": "CORRECTED", "truth": "A"},
        {"logged": {"userFeedback": "CORRECTED"}, "truth": "B"},
        {"userFeedback": "OVERRIDDEN"},
        {"userFeedback": None},
        {},
    ]
    line = {"completion": " A", "reward": 1.0, "split": "train"}
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "\n".join(
            json.dumps(line | {"id": str(number), "prompt": f"{number}:", "metadata": known})
            for number, known in enumerate(said)
        )
    )
    snapshot = given_rows(path, file_digest(path), tmp_path / "rows")
    data = load_groups(snapshot, tokenizer, settings_of["sft"](), 64)
    assert [group.id for group in data.train] == ["0", "1", "5"]
    assert data.dropped == {"not accepted by its user": 3}
    assert len(load_groups(snapshot, tokenizer, settings_of["ppo"](), 64).train) == 6


@pytest.mark.parametrize(
    ("method", "changes", "where"),
    [("ppo", {"source": "online"}, "ppo.source"), ("grpo", {"estimator": "online"}, "grpo.estimator")],
)
def test_a_list_of_one_answer_is_nothing_to_draw_from(  # noqa: PLR0917
    tmp_path, tokenizer, settings_of, method, changes, where
):
    """Refused where every row is like that, with the setting to change; one such row among others is a forced decision."""
    online = OnlineSettings(answers="listed", sampling=SamplingSettings(max_tokens=4))
    settings = settings_of[method](**changes, online=online)
    forced = row("forced", completions=[" A"], rewards=[1.0])
    snapshot = write_snapshot(tmp_path / "forced", method, [forced])
    with pytest.raises(
        DataError, match=rf"lists one answer a prompt, .* nothing to choose: set {where} to 'logged'"
    ):
        load_groups(snapshot, tokenizer, settings, 64)
    snapshot = write_snapshot(tmp_path / "both", method, [forced, row("open")])
    assert len(load_groups(snapshot, tokenizer, settings, 64).train) == 2
