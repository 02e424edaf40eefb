"""What the simulated raters really like: the ceiling of what can be learnt from their thumbs."""

import re
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from core.use_cases.widget_ratings.catalogue import SCENARIOS, WIDGETS, Showing, true_worth
from core.use_cases.widget_ratings.config import SimulationSettings
from core.use_cases.widget_ratings.simulation import Question, asked_in, chance_of_up

WIDGET = re.compile(r"(?P<widget>.+) \((?P<size>[^)]+)\)")
QUESTION = re.compile(r"(?P<scenario>.+)-(?P<number>[0-9]{3,4})")


class Taste:
    """The taste behind a simulation's thumbs: of every question of the plant's, however many a run has shown."""

    def __init__(self, settings: SimulationSettings) -> None:
        self._settings = settings
        self._asked = {scenario: asked_in(scenario, settings.seed) for scenario in SCENARIOS}
        self._questions: dict[str, Question] = {}

    def worth(self, about: Mapping[str, Any], answer: str) -> float:
        """How likely an answer's thumbs go up: of a look with its widget, of a widget over all its looks.

        0 for what nobody simulated has seen.
        """
        shown = f"{about['widget']} ({about['size']})" if about["problem"] == "fixture" else answer
        found, question = WIDGET.fullmatch(shown), self._question(about["question"])
        if found is None or question is None or found["widget"] not in WIDGETS:
            return 0.0
        looks = (
            [answer] if about["problem"] == "fixture" else [look.name for look in WIDGETS[found["widget"]]]
        )
        return fmean(self._chance(question, Showing(found["widget"], found["size"], look)) for look in looks)

    def _question(self, name: str) -> Question | None:
        """The question of that name; those of its scenario are made up to it."""
        found = QUESTION.fullmatch(name)
        if found is not None and name not in self._questions and found["scenario"] in self._asked:
            for question in self._asked[found["scenario"]]:
                self._questions[question.id] = question
                if int(question.id.rpartition("-")[2]) >= int(found["number"]):
                    break
        return self._questions.get(name)

    def _chance(self, asked: Question, showing: Showing) -> float:
        worth = true_worth(asked.intent, asked.mood, len(asked.things), showing)
        return chance_of_up(self._settings, worth)
