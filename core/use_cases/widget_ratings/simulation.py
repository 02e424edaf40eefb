"""A plant whose dashboard shows every variation of every widget to people with a known taste, who are not always sure of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle, islice, product
from random import Random
from typing import Any

from core.files import digest
from core.use_cases.widget_ratings.catalogue import (
    ASKED,
    MOODS,
    SCENARIOS,
    SIZES,
    WHEN,
    WIDGETS,
    Showing,
    true_worth,
)
from core.use_cases.widget_ratings.config import SimulationSettings

MODEL = "dashboard-1"
TAGS = {
    True: ("clear", "right-widget", "good-size"),
    False: ("wrong-widget", "too-small", "too-large", "cluttered"),
}
UNSURE = "unsure"
NOTES = ("", "", "", "could be simpler", "saw it at once")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know."""

    id: str
    scenario: str
    text: str
    intent: str
    mood: str
    things: tuple[str, ...]
    when: str


def questions(settings: SimulationSettings) -> Iterator[Question]:
    """Every scenario's questions: the first so many of the plant's, each time the same."""
    for scenario in list(SCENARIOS)[: settings.scenarios]:
        yield from islice(asked_in(scenario, settings.seed), settings.questions)


def asked_in(scenario: str, seed: int) -> Iterator[Question]:
    """A scenario's questions without end."""
    rng = Random(digest("questions", seed, scenario))  # noqa: S311  (a simulation)
    asked = list(product(ASKED, MOODS))
    rng.shuffle(asked)
    for number, (intent, mood) in enumerate(cycle(asked)):
        yield _question(f"{scenario}-{number:03d}", scenario, intent, mood, rng)


def entry_rows(settings: SimulationSettings) -> Iterator[Row]:
    """Every kind of widget for every question, in every size and every look."""
    for question in questions(settings):
        for showing in _showings():
            yield {
                "entry_id": _entry_id(question, showing),
                "question_id": question.id,
                "question": question.text,
                "scenario": question.scenario,
                "widget": showing.widget,
                "fixture": showing.look,
                "size": showing.size,
                "context": {
                    "intent": _understood(question),
                    "things": list(question.things),
                    "values": _values(question),
                },
            }


def rating_rows(settings: SimulationSettings, end: datetime) -> Iterator[Row]:
    """What everybody rated up to a moment: each rater his share of the entries, more and more of them every day."""
    asked = list(questions(settings))
    shown = list(_showings())
    for back in reversed(range(settings.days)):
        day = end - timedelta(days=back + 1)
        for rater in range(settings.raters):
            rng = Random(digest("ratings", settings.seed, rater, day.date().isoformat()))  # noqa: S311
            for number in range(settings.ratings):
                at = {"rater_id": f"rater-{rater}", "rated_at": day + timedelta(hours=8, seconds=30 * number)}
                yield _rating(settings, rng, rng.choice(asked), rng.choice(shown)) | at


def chance_of_up(settings: SimulationSettings, worth: float) -> float:
    """How likely a thumb goes up for what a showing is truly worth: the logistic function, as sharp as raters are sure."""
    return 1 / (1 + math.exp(-settings.sharpness * (worth - settings.threshold)))


def _question(name: str, scenario: str, intent: str, mood: str, rng: Random) -> Question:
    count = rng.choice((1, 1, 2, 3, 4))
    things = tuple(rng.sample(SCENARIOS[scenario], count))
    several = ", ".join(things[:-1]) + f" and {things[-1]}" if count > 1 else things[0]
    words = ASKED[intent][count > 1].format(one=things[0], many=several)
    when = rng.choice(WHEN)
    text = f"{words} {when}? I ask {rng.choice(MOODS[mood])}."
    return Question(name, scenario, text, intent, mood, things, when)


def _rating(settings: SimulationSettings, rng: Random, question: Question, showing: Showing) -> Row:
    worth = true_worth(question.intent, question.mood, len(question.things), showing)
    up = rng.random() < chance_of_up(settings, worth)
    sure = abs(worth - settings.threshold) > settings.doubt or rng.random() < 0.5
    return {
        "entry_id": _entry_id(question, showing),
        "rating": "up" if up else "down",
        "tags": [rng.choice(TAGS[up])] if sure else [UNSURE],
        "notes": rng.choice(NOTES),
        "model_version": MODEL,
    }


def _showings() -> Iterator[Showing]:
    for widget, looks in WIDGETS.items():
        for size, look in product(SIZES, looks):
            yield Showing(widget, size, look.name)


def _entry_id(question: Question, showing: Showing) -> str:
    return f"{question.id}/{'/'.join(showing)}"


def _understood(question: Question) -> dict[str, Any]:
    """What the app's pipeline found in a question: what it is about, and not what is asked."""
    return {
        "domains": [question.scenario],
        "entities": {"devices": list(question.things)},
        "time_range": question.when,
    }


def _values(question: Question) -> dict[str, list[float]]:
    """Numbers to draw the widget with: twelve an hour apart for each thing."""
    rng = Random(digest("values", question.id))  # noqa: S311
    values = {}
    for thing in question.things:
        level = rng.uniform(20, 90)
        values[thing] = [round(level + rng.gauss(0, 6), 1) for _ in range(12)]
    return values
