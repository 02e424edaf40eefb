"""Which pairs a model is asked about: of the store's held-out scenarios, or of a file that a person brings."""

import json
from collections import Counter

import pytest

from core.config import load_config
from core.dataset import read_rows, write_snapshot
from core.errors import DataError
from core.files import file_digest
from core.given_rows import given_rows
from core.use_cases.widget_ratings.config import WidgetRatingsConfig
from core.use_cases.widget_ratings.contest import pairs_of, replay
from core.use_cases.widget_ratings.exam import NO_PAIR, TRAINED_ON, exam
from core.use_cases.widget_ratings.groups import LONG_ANSWER, TOO_LONG


def configured(**changes):
    return load_config(WidgetRatingsConfig, "widget_ratings", "demo", {"model": "smollm2-135m"} | changes)


def stored(name, prompt="Which?", answers=(" kpi\n", " trend\n"), split="test"):
    rewards = [1.0, -1.0][: len(answers)]
    known = {"question": name, "scenario": None, "tags": [{"clear": 1}, {}][: len(answers)]}
    return {
        "id": name,
        "prompt": prompt,
        "completions": list(answers),
        "rewards": rewards,
        "split": split,
        "metadata": known,
    }


def test_what_is_too_long_is_left_out_of_the_contest_and_counted(tmp_path, smollm2):
    """By the limits of training: a model's context could not hold it. A row keeps its other answers, and what was said of them."""
    long = " very" * 600
    rows = [
        stored("good"),
        stored("prompt", prompt=f"Which{long}?"),
        stored("answers", answers=(f"{long}\n", f" not{long}\n")),
        stored("answer", answers=(" kpi\n", f"{long}\n")),
        stored("trained on", split="train"),
        stored("looked at", split="validation"),
    ]
    rewards, skipped = write_snapshot(tmp_path / "rows", "rewards", rows), Counter()
    assert [pair.row["id"] for pair in pairs_of(configured(), rewards, skipped)] == ["good"]
    assert skipped == {TOO_LONG: 1, LONG_ANSWER: 3}
    assert [prompt["prompt"] for prompt in replay(configured(), rewards)] == ["Which? kpi\n"] * 2


def examined(tmp_path, lines):
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = given_rows(path, file_digest(path), tmp_path / "given")
    found = exam(configured(), given, tmp_path / "exam")
    return found, list(read_rows(found))


def line(name, rewards, **change):
    answers = [f" answer {number}" for number in range(len(rewards))]
    return {"id": name, "prompt": f"{name}?", "completions": answers, "rewards": rewards} | change


def test_a_files_best_answers_stand_against_its_worst(tmp_path):
    """Whatever its scale; lines without two different rewards are counted, and without a model's own limits nothing is cut."""
    lines = [line("a", [0.2, 0.9, 0.5]), line("b", [1, 1, 0]), line("c", [1, 1]), line("d", [1])]
    found, rows = examined(tmp_path, lines)
    assert found.skipped == {NO_PAIR: 2}
    assert {row["id"]: dict(zip(row["completions"], row["rewards"], strict=True)) for row in rows} == {
        "a": {" answer 1": 1.0, " answer 0": -1.0},
        "b": {" answer 0": 1.0, " answer 1": 1.0, " answer 2": -1.0},
    }
    pairs = list(pairs_of(configured(), found, Counter()))
    assert len(pairs) == 3
    assert {pair.row["metadata"]["question"] for pair in pairs} == {"a", "b"}


def test_of_a_file_that_says_it_only_the_held_out_lines_are_asked(tmp_path):
    """As `export/jsonl` writes them, with the question that prompts share."""
    known = {"metadata": {"question": "q", "scenario": "pumps"}}
    lines = [line(split, [1, -1], split=split, **known) for split in ("train", "validation", "test")]
    found, rows = examined(tmp_path, lines)
    assert [(row["id"], row["metadata"]) for row in rows] == [("test", known["metadata"])]
    assert found.skipped == {TRAINED_ON: 2}


def test_a_file_without_pairs_says_what_a_line_needs(tmp_path):
    """And how many lines it had."""
    with pytest.raises(
        DataError, match=rf"lines.jsonl has no pair .*{NO_PAIR}: 1.*'completions' and 'rewards'"
    ):
        examined(tmp_path, [line("c", [1, 1])])
