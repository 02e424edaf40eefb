"""What a model writes after held-out prompts, beside what there is and what people like."""

import core.language.writer
from core.dataset import write_snapshot
from core.language.writer import Answer
from core.use_cases.widget_ratings.written import DISLIKED, UNKNOWN, answers_there_are, written


def prompt(name, answers, problem="widget"):
    return {
        "id": name,
        "prompt": f"{name}?",
        "completions": [f"{text}\n" for text in answers],
        "rewards": list(answers.values()),
        "split": "test",
        "metadata": {"problem": problem},
    }


ROWS = [
    prompt("a", {"kpi (hero)": 1.0, "trend (normal)": -1.0}),
    prompt("b", {"flow (normal)": 1.0, "kpi (normal)": -1.0}),
    prompt("c", {"bars": 1.0, "lines": -1.0}, "fixture"),
    prompt("d", {"as you like": 1.0}, "text"),
    prompt("e", {"kpi (hero)": -1.0, "flow (normal)": 1.0}),
]


def test_each_widget_is_there_in_each_size(tmp_path):
    """Whoever rated what; looks as they are, and words of one's own are not listed."""
    found = answers_there_are(write_snapshot(tmp_path / "rows", "rewards", ROWS))
    sizes = {f"{widget} ({size})" for widget in ("kpi", "trend", "flow") for size in ("hero", "normal")}
    assert found == {"widget": sizes, "fixture": {"bars", "lines"}}


def test_answers_are_known_rated_and_liked(tmp_path, monkeypatch):
    """An answer that was not rated there is neither liked nor not; what is wrong comes with what people like."""
    said = {"a?": "kpi (hero)", "b?": "trend (hero)", "c?": "dots", "e?": "kpi (hero)"}

    class Scripted:
        def __init__(self, *_checkpoint, **_options):
            pass

        def answers(self, prompts, *_limits):
            return [Answer(said[prompt], whole=True) for prompt in prompts]

    monkeypatch.setattr(core.language.writer, "Writer", Scripted)
    there_are = answers_there_are(write_snapshot(tmp_path / "rows", "rewards", ROWS))
    counts, wrong = written(None, ROWS, there_are, 48, "auto")
    assert counts == {"written": 4, "known": 3, "rated": 2, "liked": 1}
    assert [(one.item, one.answer, one.wanted, one.why) for one in wrong] == [
        ("c", "dots", "bars", UNKNOWN),
        ("e", "kpi (hero)", "flow (normal)", DISLIKED),
    ]


def test_words_of_ones_own_are_not_asked_for():
    """Nothing is loaded where nothing can be checked."""
    assert written(None, [ROWS[3]], {"widget": set()}, 48, "auto") == ({}, ())
