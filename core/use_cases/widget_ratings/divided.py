"""On which side a prompt lies, so that neither its question nor its scenario lies on two."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from scipy.cluster.hierarchy import DisjointSet

from core.dataset import Snapshot, read_rows
from core.held_out import split_of
from core.use_cases.widget_ratings.config import WidgetRatingsConfig

CROSSED = "its question and its scenario are for different things"
Row = dict[str, Any]


class Sides:
    """What each scenario and each question is for: to train on, to choose a checkpoint by, or for the contest.

    Questions that read the same are one. A question is for what its scenarios are for; where those are for different things, its
    own hash decides, and it is left out of the scenarios that are for something else.
    """

    def __init__(self, config: WidgetRatingsConfig, votes: Snapshot) -> None:
        self._shares = config.held_out, config.validation
        self._same = DisjointSet()
        for row in read_rows(votes):
            for mark in (question := _question(row), _words(row)):
                self._same.add(mark)
                self._same.merge(question, mark)
        self._names: dict[int, str] = {}
        self._of_scenarios: dict[int, set[str]] = {}
        for row in read_rows(votes):
            one = self._same[_question(row)]
            self._names[one] = min(row["question_id"], self._names.get(one, row["question_id"]))
            self._of_scenarios.setdefault(one, set()).add(self._scenario(row))

    def of(self, row: Row) -> str | None:
        """The split of a row; None where its question and its scenario disagree."""
        one = self._same[_question(row)]
        first, *others = self._of_scenarios[one]
        if not others:
            return first
        own = split_of(self._names[one], *self._shares)
        return own if row["scenario"] is None or own == self._scenario(row) else None

    def _scenario(self, row: Row) -> str:
        return split_of(row["scenario"] or row["question_id"], *self._shares)


def divided(config: WidgetRatingsConfig, votes: Snapshot, skipped: Counter[str]) -> Iterator[Row]:
    """The rows with their split; what can be on no side is counted."""
    sides = Sides(config, votes)
    for row in read_rows(votes):
        if (split := sides.of(row)) is None:
            skipped[CROSSED] += 1
        else:
            yield row | {"split": split}


def _question(row: Row) -> int:
    return hash(("question", row["question_id"]))


def _words(row: Row) -> int:
    return hash(("words", row["prompt"]))
