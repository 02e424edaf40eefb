"""Rows become groups, or are left out for a reason that is counted."""

from pathlib import Path

import pytest
import torch

from core.dataset import write_snapshot
from core.errors import DataError
from core.language.config import model_config
from core.language.model import load_model
from core.training.data import GroupBatch, load_groups


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
