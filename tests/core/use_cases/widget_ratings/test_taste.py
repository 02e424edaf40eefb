"""What simulated raters like is known of every question of the plant's, whichever run has shown it."""

from itertools import islice

import pytest

from core.use_cases.widget_ratings.catalogue import true_worth
from core.use_cases.widget_ratings.config import SimulationSettings
from core.use_cases.widget_ratings.simulation import asked_in, chance_of_up, questions
from core.use_cases.widget_ratings.taste import Showing, Taste


def about(question, problem="fixture", widget="kpi", size="hero"):
    return {"question": question, "problem": problem, "widget": widget, "size": size}


def test_questions_of_a_larger_simulation_are_known():
    """A store holds what every preset's runs have shown; asked in any order."""
    small, large = SimulationSettings(questions=2, scenarios=3), SimulationSettings(questions=40)
    taste = Taste(small)
    for question in reversed(list(questions(large))):
        showing = Showing("kpi", "hero", "plain-number")
        worth = true_worth(question.intent, question.mood, len(question.things), showing)
        expected = chance_of_up(small, worth)
        assert taste.worth(about(question.id), "plain-number") == expected
    assert [each.id for each in islice(asked_in("pumps", 1), 3)] == ["pumps-000", "pumps-001", "pumps-002"]


@pytest.mark.parametrize("question", ["pumps", "mine-001", "pumps-1", "pumps-0001", "pumps-000000001", ""])
def test_of_other_questions_nothing_is_known(question):
    """Those that people brought themselves."""
    assert Taste(SimulationSettings()).worth(about(question), "plain-number") == 0.0
    assert Taste(SimulationSettings()).worth(about("pumps-000", "widget"), "clock (hero)") == 0.0
