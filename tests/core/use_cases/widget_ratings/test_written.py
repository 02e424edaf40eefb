"""What a model writes after held-out prompts, beside what there is and what people like."""

import pytest

import core.language.writer
from core.language.writer import Answer
from core.use_cases.widget_ratings.prompts import fixture_prompt, offered, widget_prompt
from core.use_cases.widget_ratings.written import DISLIKED, UNKNOWN, choices, written

WIDGET = widget_prompt("Is all well: {}?", None, ["kpi", "trend", "flow"], ["hero", "normal"])
LOOK = fixture_prompt("Is all well: Sizes: {}?", "", "kpi", "hero", ["bars", "lines"])
WORDS = "Say how it is.\n"


def prompt(name, answers, problem="widget", words=WIDGET):
    return {
        "id": name,
        "prompt": words.replace("{}", name),
        "completions": [f"{text}\n" for text in answers],
        "rewards": list(answers.values()),
        "split": "test",
        "metadata": {"problem": problem},
    }


ROWS = [
    prompt("a", {"kpi (hero)": 1.0, "trend (normal)": -1.0}),
    prompt("b", {"flow (normal)": 1.0, "kpi (normal)": -1.0}),
    prompt("c", {"bars": 1.0, "lines": -1.0}, "fixture", LOOK),
    prompt("d", {"as you like": 1.0}, "text", WORDS),
    prompt("e", {"kpi (hero)": -1.0, "flow (normal)": 1.0}),
]


@pytest.mark.parametrize(
    ("problem", "words", "found"),
    [
        (
            "widget",
            WIDGET,
            {f"{widget} ({size})" for widget in ("kpi", "trend", "flow") for size in ("hero", "normal")},
        ),
        ("fixture", LOOK, {"bars", "lines"}),
        ("text", WORDS, set()),
    ],
)
def test_a_prompt_says_what_can_be_answered(problem, words, found):
    """Each widget in each size, or the looks; words of one's own are not listed."""
    assert offered(problem, words) == found


def test_what_was_rated_can_be_answered():
    """Under whatever name it was shown; of a person's own file nothing is known."""
    assert choices(prompt("a", {"clock (tiny)": 1.0})) >= {"clock (tiny)", "kpi (hero)"}
    assert choices(ROWS[0] | {"metadata": {"question": "a"}}) == set()


def test_answers_are_known_rated_and_liked(monkeypatch):
    """An answer that was not rated there is neither liked nor not; what is wrong comes with what people like."""
    said = {"a": "kpi (hero)", "b": "trend (hero)", "c": "dots", "e": "kpi (hero)"}
    said = {row["prompt"]: said[row["id"]] for row in ROWS if row["id"] in said}

    class Scripted:
        def __init__(self, *_checkpoint, **_options):
            pass

        def answers(self, prompts, *_limits):
            return [Answer(said[prompt], whole=True) for prompt in prompts]

    monkeypatch.setattr(core.language.writer, "Writer", Scripted)
    counts, wrong = written(None, ROWS, 48, "auto")
    assert counts == {"decisions": 4, "invalid": 1, "rated": 2, "liked": 1}
    assert [(one.item, one.answer, one.wanted, one.why) for one in wrong] == [
        ("c", "dots", "bars", UNKNOWN),
        ("e", "kpi (hero)", "flow (normal)", DISLIKED),
    ]


def test_words_of_ones_own_are_not_asked_for():
    """Nothing is loaded where nothing can be checked."""
    assert written(None, [ROWS[3]], 48, "auto") == ({}, ())
