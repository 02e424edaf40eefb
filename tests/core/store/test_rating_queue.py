"""What a rater is shown next: an order of his own, in which answers to one prompt come together."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from core.store.rating_feedback import add_feedback, take_back
from core.store.rating_queue import (
    Progress,
    Queue,
    choices,
    entry_named,
    next_entry,
    progress,
    vote_on,
    votes_of,
)
from core.store.ratings import ingest_entries
from core.use_cases.widget_ratings.config import SimulationSettings
from core.use_cases.widget_ratings.simulation import entry_rows

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def plant(database):
    """Two questions in each of two scenarios, and answers in words."""
    words = [
        {"entry_id": f"words-{n}", "question_id": "words", "prompt": "How?", "response": str(n)}
        for n in range(5)
    ]
    for page in ingest_entries("plant", [*entry_rows(SimulationSettings(scenarios=2, questions=2)), *words]):
        assert not page.quarantined


def order(queue):
    """All of a queue, without rating any."""
    found = [next_entry(queue)]
    while (entry := next_entry(queue, found[-1].entry_id)) != found[0]:
        found.append(entry)
    return found


def test_every_rater_has_an_order_of_his_own(plant):
    """The same each time, whole, and behind the last comes the first again."""
    ann, ben = order(Queue("plant", "ann")), order(Queue("plant", "ben"))
    assert ann == order(Queue("plant", "ann"))
    assert ann != ben
    assert len({entry.entry_id for entry in ann}) == len(ann) == 4 * 96 + 5
    assert {entry.entry_id for entry in ann} == {entry.entry_id for entry in ben}


def test_answers_to_one_prompt_come_together(plant):
    """A widget's looks one after another, several widgets of a question in a row, and all answers in words."""
    shown = order(Queue("plant", "ann"))
    widgets = [entry for entry in shown if entry.widget]
    for start in range(0, len(widgets), 3):
        looks = widgets[start : start + 3]
        assert len({(entry.question_id, entry.widget, entry.size) for entry in looks}) == 1
        assert len({entry.fixture for entry in looks}) == 3
    turns = sum(one.question_id != other.question_id for one, other in pairwise(shown))
    assert turns < 4 * 8 + 2, "a question comes at most once a round"
    places = [place for place, entry in enumerate(shown) if entry.question_id == "words"]
    assert places == list(range(places[0], places[0] + 5))


def test_what_is_rated_comes_no_more(plant):
    """Of this rater alone, also when something behind it was asked for; the rest is counted within what he wants to see."""
    ann, ben = (Queue("plant", name, scenario="pumps", widget="kpi") for name in ("ann", "ben"))
    shown = order(ann)
    assert {(entry.scenario, entry.widget) for entry in shown} == {("pumps", "kpi")}
    assert progress(ann) == Progress(rated=0, entries=24)
    for entry in shown[:23]:
        add_feedback("plant", {"entry_id": entry.entry_id, "rater_id": "ann", "rating": "up"})
    assert progress(ann) == Progress(rated=23, entries=24)
    assert next_entry(ann) == next_entry(ann, shown[-1].entry_id) == shown[-1]
    add_feedback("plant", {"entry_id": shown[-1].entry_id, "rater_id": "ann", "rating": "down"})
    assert next_entry(ann) is None
    assert progress(ben) == Progress(rated=0, entries=24)
    assert [vote.entry_id for vote in votes_of("plant", "ann")] == [entry.entry_id for entry in shown]
    assert choices("plant")["scenario"] == ["pumps", "transformers"]
    assert progress(Queue("elsewhere", "ann")) == Progress(rated=0, entries=0)
    assert entry_named("elsewhere", shown[0].entry_id) is None


def test_a_rating_is_taken_back_once_and_only_itself(plant):
    """As if it had never been given; one that its rater changed since, or gave to something else, stays."""
    vote = {"entry_id": "words-1", "rater_id": "ann", "rating": "up"}
    add_feedback("plant", vote, now=AT)
    assert take_back("plant", "words-1", "ann", AT)
    assert vote_on("plant", "words-1", "ann") is None
    assert not take_back("plant", "words-1", "ann", AT)
    add_feedback("plant", vote, now=AT)
    add_feedback("plant", vote | {"rating": "down"}, now=AT + timedelta(seconds=1))
    assert not take_back("plant", "words-1", "ann", AT)
    assert not take_back("plant", "words-1", "ben", AT + timedelta(seconds=1))
    assert vote_on("plant", "words-1", "ann").rating == "down"
