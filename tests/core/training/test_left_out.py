"""Why nothing is left to train on, and what to do about it."""

import pytest

from core.dataset import write_snapshot
from core.errors import DataError
from core.language.model import load_tokenizer
from core.training.data import load_groups

FREE = {"estimator": "online", "online": {"sampling": {"max_tokens": 60}}}


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return load_tokenizer(tiny)


def row(name: str, **changes) -> dict[str, object]:
    values = {
        "id": name,
        "prompt": "Pick:",
        "completions": [" A", " B"],
        "rewards": [0.0, 1.0],
        "split": "train",
    }
    return values | changes


CASES = {
    "no rows": ("grpo", {}, [], r"it has no rows: collect some$"),
    "held out": (
        "grpo",
        {},
        [{"split": "validation"}, {"split": "validation"}],
        r"all 2 rows are held out \(split 'validation'\): give those to train on the split 'train'$",
    ),
    "held out, one of them of no use": (
        "grpo",
        {},
        [{"split": "validation"}, {"split": "test", "rewards": [None, 1.0]}],
        r"all 2 rows are held out \(split 'test', 'validation'\): give",
    ),
    "equal": (
        "grpo",
        {},
        [{"rewards": [1.0, 1.0]}, {"split": "test"}],
        r"1 of 2 rows are for that, and left out are \{'equal rewards': 1\}: collect more rows, or look at the reward$",
    ),
    "too long an answer": (
        "grpo",
        FREE,
        [{}],
        r"\{'max_tokens reach beyond the context': 1\}: lower online\.sampling\.max_tokens, or shorten",
    ),
    "the most frequent reason": (
        "dpo",
        {},
        [{"rewards": []}, {"rewards": []}, {"prompt": ""}],
        r"\{'reward missing': 2, 'empty prompt': 1\}: run the stage that scores them$",
    ),
    "what the others follow from": (
        "ppo",
        {},
        [
            {"completions": [" A"], "rewards": rewards, "metadata": {"session": "s", "step": step}}
            for step, rewards in enumerate([[1.0], [1.0], [None]])
        ],
        r"\{'reward missing': 1, 'session incomplete': 2\}: run the stage that scores them$",
    ),
}


@pytest.mark.parametrize(("method", "changes", "rows", "words"), CASES.values(), ids=CASES)
def test_nothing_left_says_what_to_do(  # noqa: PLR0917
    tmp_path, tokenizer, settings_of, method, changes, rows, words
):
    """'Collect more' is for rows that have nothing to tell apart; all other reasons have a remedy of their own."""
    rows = [row(str(number), **each) for number, each in enumerate(rows)]
    snapshot = write_snapshot(tmp_path / "rows", "rows", rows)
    with pytest.raises(DataError, match=rf"leaves nothing to train on by {method}: .*{words}"):
        load_groups(snapshot, tokenizer, settings_of[method](**changes), 64)
