"""What the simulated raters really like: the ceiling of what can be learnt from their thumbs."""

import re
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from core.use_cases.widget_ratings.catalogue import WIDGETS, Showing, true_worth
from core.use_cases.widget_ratings.config import SimulationSettings
from core.use_cases.widget_ratings.simulation import chance_of_up, questions

WIDGET = re.compile(r"(?P<widget>.+) \((?P<size>[^)]+)\)")


class Taste:
    """The taste behind a simulation's thumbs."""

    def __init__(self, settings: SimulationSettings) -> None:
        self._settings = settings
        self._questions = {question.id: question for question in questions(settings)}

    def worth(self, about: Mapping[str, Any], answer: str) -> float:
        """How likely an answer's thumbs go up: of a look with its widget, of a widget over all its looks."""
        shown = f"{about['widget']} ({about['size']})" if about["problem"] == "fixture" else answer
        found = WIDGET.fullmatch(shown)
        if found is None:
            return 0.0
        looks = (
            [answer] if about["problem"] == "fixture" else [look.name for look in WIDGETS[found["widget"]]]
        )
        return fmean(
            self._chance(about["question"], Showing(found["widget"], found["size"], look)) for look in looks
        )

    def _chance(self, question: str, showing: Showing) -> float:
        asked = self._questions[question]
        worth = true_worth(asked.intent, asked.mood, len(asked.things), showing)
        return chance_of_up(self._settings, worth)
