"""What drawn completions are worth, and what a reward function may do wrong."""

import math

import pytest
from pydantic import ValidationError

from core.dataset import ScoredGroup
from core.errors import ConfigError, DataError, TrainingError
from core.language.sampling import before_stop
from core.training.config import OnlineSettings
from core.training.rewarding import reward_of

ROW = ScoredGroup(
    id="one",
    prompt="Pick:",
    completions=(" A", " B<end>", " C"),
    rewards=(0.25, 1.0, None),
    metadata={"day": 3},
)


def words(prompt, completions, metadata):
    """One point a letter, and the day."""
    assert prompt == "Pick:"
    return [len(text) + metadata["day"] for text in completions]


def broken(prompt, completions, metadata):
    """Looks for what is not there."""
    return [metadata["nothing"] for _ in completions]


def refusing(prompt, completions, metadata):
    """An error of our own stays what it is."""
    raise DataError("no outcome yet")


def short(prompt, completions, metadata):
    """One number too few."""
    return [0.0] * (len(completions) - 1)


def holes(prompt, completions, metadata):
    """Missing in three ways."""
    return [None, math.nan, math.inf, 2][: len(completions)]


def shouting(prompt, completions, metadata):
    """Words for numbers."""
    return ["good"] * len(completions)


NOT_A_FUNCTION = 3


def here(name: str) -> OnlineSettings:
    return OnlineSettings(reward=f"{__name__}:{name}")


def test_listed_completions_earn_what_the_row_says():
    """' B' is listed with its end; ' C' has no reward and is missing; anything else earns what is set, ' a' too."""
    reward = reward_of(OnlineSettings(unlisted_reward=-1.0), "<end>")
    found = reward(ROW, [" A", " B", " C", " a", ""])
    assert found[:2] == [0.25, 1.0]
    assert math.isnan(found[2])
    assert found[3:] == [-1.0, -1.0]


def test_a_function_gets_prompt_texts_and_metadata():
    """Two letters and four, on day 3."""
    assert reward_of(here("words"), "")(ROW, [" A", "abcd"]) == [5.0, 7.0]


def test_missing_scores_stay_missing():
    """None, NaN and infinity are no score; none of them is 0."""
    found = reward_of(here("holes"), "")(ROW, ["a", "b", "c", "d"])
    assert [math.isnan(value) for value in found] == [True, True, True, False]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", r"failed on row one \(KeyError: 'nothing'\)"),
        ("shouting", r"failed on row one \(ValueError: could not convert"),
        ("short", "gave 1 numbers for the 2 completions of row one"),
    ],
)
def test_a_function_that_fails_ends_the_run_in_one_line(name, words):
    """The function, the row and what went wrong."""
    with pytest.raises(TrainingError, match=words) as error:
        reward_of(here(name), "")(ROW, ["a", "b"])
    assert "\n" not in str(error.value)


def test_our_own_errors_pass():
    """A function may say itself what is wrong."""
    with pytest.raises(DataError, match="no outcome yet"):
        reward_of(here("refusing"), "")(ROW, ["a"])


@pytest.mark.parametrize("path", ["core.nothing:here", f"{__name__}:nothing", f"{__name__}:NOT_A_FUNCTION"])
def test_a_function_that_is_not_there_is_named(path):
    """Its path comes back in the message."""
    with pytest.raises(ConfigError, match=path):
        reward_of(OnlineSettings(reward=path), "")


@pytest.mark.parametrize("path", ["judge", "module.function", ":function", "module:"])
def test_only_a_path_or_listed_can_be_set(path):
    """Before any work starts."""
    with pytest.raises(ValidationError, match="reward"):
        OnlineSettings(reward=path)


def test_answers_are_chosen_or_written_by_a_schema():
    """Not both; and neither ends at a text in the middle of it."""
    with pytest.raises(ValidationError, match="json_schema"):
        OnlineSettings(answers="listed", sampling={"json_schema": {"type": "object"}})
    with pytest.raises(ValidationError, match=r"sampling\.stop would cut one short: leave stop empty"):
        OnlineSettings(answers="listed", sampling={"stop": ["A"]})
    with pytest.raises(ValidationError, match="json_schema says itself where an answer ends"):
        OnlineSettings(sampling={"stop": ["}"], "json_schema": {"type": "object"}})


def test_listed_completions_may_end_with_a_stop_text():
    """The row has ' A;' and ' B' for the stop text ';': both are known by what comes before it."""
    row = ROW.model_copy(update={"completions": (" A;", " B", " C;<end>"), "rewards": (0.25, 1.0, 0.5)})
    reward = reward_of(OnlineSettings(sampling={"stop": [";"]}), "<end>")
    assert reward(row, [" A", " B", " C", ";"]) == [0.25, 1.0, 0.5, 0.0]


def test_a_text_ends_before_its_first_stop_text():
    """Whatever follows in the same token; a text without one is whole."""
    assert before_stop("a\n\nb", ["b", "\n\n"]) == "a"
    assert before_stop("a", ["b"]) == before_stop("a", []) == "a"
