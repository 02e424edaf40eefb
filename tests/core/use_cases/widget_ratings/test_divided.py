"""What is tested is not trained on: neither its question nor its scenario, however the two are combined."""

from collections import Counter
from itertools import product

from core.config import load_config
from core.dataset import write_snapshot
from core.held_out import SPLITS
from core.use_cases.widget_ratings.config import WidgetRatingsConfig
from core.use_cases.widget_ratings.divided import CROSSED, divided

CONFIG = load_config(WidgetRatingsConfig, "widget_ratings", "default", {"held_out": 0.3, "validation": 0.2})


def asked(question, scenario=None, words=None):
    return {"question_id": question, "scenario": scenario, "prompt": words or f"{question}?"}


def sides(tmp_path, rows):
    skipped = Counter()
    found = list(divided(CONFIG, write_snapshot(tmp_path / "votes", "votes", rows), skipped))
    for what in ("question_id", "prompt", "scenario"):
        named = [row for row in found if row[what] is not None]
        assert len({(row[what], row["split"]) for row in named}) == len({row[what] for row in named})
    return found, skipped


def test_the_same_questions_in_every_scenario_leave_some_for_each_thing(tmp_path):
    """A row stays where its question and its scenario are for the same."""
    rows = [asked(f"q{one}", f"s{two}") for one, two in product(range(30), range(30))]
    found, skipped = sides(tmp_path, rows)
    counts = Counter(row["split"] for row in found)
    assert all(counts[split] > 20 for split in SPLITS)
    assert counts["train"] > 150
    assert skipped == {CROSSED: 900 - len(found)}


def test_questions_that_read_the_same_are_one(tmp_path):
    """Under other names, with and without a scenario; nothing is lost where none is named."""
    rows = [asked(f"q{number}", words="How is it?") for number in range(40)]
    found, skipped = sides(tmp_path, rows)
    assert len(found) == 40
    assert not skipped
    found, _ = sides(
        tmp_path / "more", [*rows, *(asked(f"p{one}", f"s{one}", "How is it?") for one in range(40))]
    )
    assert {row["scenario"] for row in found} > {None}


def test_a_question_of_one_scenario_is_for_what_the_scenario_is_for(tmp_path):
    """However its own hash falls: scenarios are few, and each of their questions is kept."""
    found, skipped = sides(tmp_path, [asked(f"q{number}", f"s{number % 10}") for number in range(100)])
    assert len(found) == 100
    assert not skipped


def test_a_question_is_not_left_out_of_scenarios_that_are_for_the_same(tmp_path):
    """Where they agree, its own hash has no say."""
    alike = [f"s{number}" for number in range(40)]
    kept, _ = sides(tmp_path, [asked(f"q{name}", name) for name in alike])
    trained = [row["scenario"] for row in kept if row["split"] == "train"][:2]
    found, skipped = sides(
        tmp_path / "two", [asked(f"p{number}", scenario) for number in range(40) for scenario in trained]
    )
    assert (len(found), len(skipped)) == (80, 0)
