"""From stored thumbs to the answers of each prompt, those that were liked and those that were not."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from core.dataset import Snapshot, write_snapshot
from core.errors import DataError
from core.files import digest
from core.store.engine import connection
from core.store.rewarded import one_moment
from core.store.votes import KEPT_NOTES, Asked, Votes, counted, kinds, uncounted
from core.use_case import Progress
from core.use_cases.widget_ratings.config import Problem, WidgetRatingsConfig
from core.use_cases.widget_ratings.divided import divided
from core.use_cases.widget_ratings.prompts import END, data_line, fixture_prompt, widget_answer, widget_prompt

NAME = "widget_ratings"
FEW, SPLIT, ALONE = "too few votes", "votes disagree", "the only look that its widget has"
SEVERAL_LINES = "answer of several lines"
Row = dict[str, Any]
Place = tuple[str | None, str | None, str | None]
"""A scenario, a widget and its size."""
Kinds = Mapping[str, tuple[list[str], list[str]]]


@dataclass(slots=True)
class Answer:
    """What was said of an answer."""

    up: float = 0.0
    down: float = 0.0
    tags: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, votes: Votes) -> None:
        """An entry's votes, and what went with them."""
        self.up += votes.up
        self.down += votes.down
        self.tags.update(votes.tags)
        self.notes = (self.notes + votes.notes)[:KEPT_NOTES]

    def as_row(self, text: str) -> Row:
        """Its words and what was said of them."""
        return {"text": text, "up": self.up, "down": self.down, "tags": dict(self.tags), "notes": self.notes}


@dataclass(slots=True)
class Asking:
    """One prompt and the votes for every answer that was shown."""

    problem: Problem
    prompt: str
    of: Votes
    """One of its entries: its question, and for a look its widget."""
    answers: dict[str, Answer] = field(default_factory=dict)

    def count(self, answer: str, votes: Votes) -> None:
        """Add an entry's votes to those of its answer."""
        self.answers.setdefault(answer, Answer()).add(votes)


def collect(config: WidgetRatingsConfig, folder: Path, progress: Progress) -> Snapshot:
    """Every prompt with its answers and their votes, question by question, in one pass over the store.

    Raises: DataError when nobody rated anything, StoreError.
    """
    asked = Asked(config.rows_of, config.votes.max_buffer_size, config.votes.tag_weights)
    skipped: Counter[str] = Counter()
    with connection() as held:
        one_moment(held)
        known = kinds(held, config.rows_of)
        skipped.update(uncounted(held, asked))
        questions = groupby(counted(held, asked), key=lambda votes: votes.question_id)
        rows = (row for _, entries in questions for row in _rows(config, known, entries, skipped))
        snapshot = write_snapshot(folder, "votes", rows, skipped=skipped, notes={"source": config.rows_of})
    if not snapshot.counts["rows"]:
        raise DataError(
            f"the source '{config.rows_of}' has no rating to learn from: run collect/ratings first, which imports or simulates some"
        )
    progress(1.0, f"{snapshot.counts['rows']:,} prompts with votes")
    return snapshot


def _rows(
    config: WidgetRatingsConfig, known: Kinds, entries: Iterator[Votes], skipped: Counter[str]
) -> Iterator[Row]:
    """One question's prompts, in each of its scenarios. Where they would be called the same, their words tell them apart."""
    askings: dict[tuple[str, str, str], Asking] = {}
    given = list(entries)
    data = _common_data(given)
    for votes in given:
        for problem, prompt, answer in _views(votes, known, data, skipped):
            if problem in config.problems:
                key = (problem, votes.scenario or "", prompt)
                asking = askings.setdefault(key, Asking(problem, prompt, votes))
                asking.count(answer, votes)
    rows = [_row(asking) for _, asking in sorted(askings.items())]
    names = Counter(row["id"] for row in rows)
    for row in rows:
        alone = names[row["id"]] == 1
        yield row if alone else row | {"id": f"{row['id']}/{digest(row['scenario'], row['prompt'])[:8]}"}


def _common_data(entries: Iterable[Votes]) -> Mapping[Place, str]:
    """What each widget showed, where that was the same in all its looks: only then is it the same question."""
    shown: dict[Place, set[str]] = {}
    for votes in entries:
        shown.setdefault(_place(votes), set()).add(data_line(votes.context))
    return {place: lines.pop() if len(lines) == 1 else "" for place, lines in shown.items()}


def _place(votes: Votes) -> Place:
    return votes.scenario, votes.widget, votes.size


def _views(
    votes: Votes, known: Kinds, data: Mapping[Place, str], skipped: Counter[str]
) -> Iterator[tuple[Problem, str, str]]:
    """What an entry's thumbs are votes on: an answer in words, or a widget, and how it looks."""
    if votes.response is not None:
        if END in votes.response.strip():
            skipped[SEVERAL_LINES] += 1
        else:
            yield "text", votes.prompt or votes.question, votes.response.strip()
        return
    widget = votes.widget or ""
    sizes = sorted({size for _, sizes in known.values() for size in sizes})
    yield (
        "widget",
        widget_prompt(votes.question, votes.context, list(known), sizes),
        widget_answer(widget, votes.size),
    )
    looks = known[widget][0]
    if votes.fixture is not None and len(looks) > 1:
        prompt = fixture_prompt(votes.question, data[_place(votes)], widget, votes.size, looks)
        yield "fixture", prompt, votes.fixture
    elif votes.fixture is not None:
        skipped[ALONE] += 1


def _row(asking: Asking) -> Row:
    of = asking.of
    chosen = f"{of.widget}/{of.size}" if asking.problem == "fixture" else asking.problem
    return {
        "id": f"{of.question_id}/{chosen}",
        "prompt": asking.prompt,
        "answers": [asking.answers[text].as_row(text) for text in _shuffled(of.question_id, asking.answers)],
        "problem": asking.problem,
        "question_id": of.question_id,
        "scenario": of.scenario,
        "widget": of.widget,
        "size": of.size,
    }


def _shuffled(question: str, answers: Mapping[str, Any]) -> list[str]:
    """In an order of the question's own, by a hash: where only some pairs are learnt from, they are not the alphabet's first."""
    return sorted(answers, key=lambda answer: digest("answer", question, answer))


def reward(config: WidgetRatingsConfig, votes: Snapshot, folder: Path, progress: Progress) -> Snapshot:
    """Prompts as groups: 1 for an answer that its raters like, -1 for one that they don't, none that they are divided on."""
    skipped: Counter[str] = Counter(votes.skipped)
    rows = (scored(config, row, skipped) for row in divided(config, votes, skipped))
    groups = (row for row in rows if row["completions"])
    snapshot = write_snapshot(
        folder, "rewards", groups, skipped=skipped, parents=(votes.sha256,), notes=votes.notes
    )
    progress(1.0, f"{snapshot.counts['rows']:,} prompts with answers that are liked or not")
    return snapshot


def scored(config: WidgetRatingsConfig, row: Row, skipped: Counter[str]) -> Row:
    """A prompt's answers that enough raters agree on; the others are counted."""
    completions, rewards, said = [], [], []
    for answer in row["answers"]:
        up, down = answer["up"], answer["down"]
        if up + down < config.votes.votes:
            skipped[FEW] += 1
        elif up == down or max(up, down) < config.votes.agreement * (up + down):
            skipped[SPLIT] += 1
        else:
            completions.append(answer["text"] + END)
            rewards.append(1.0 if up > down else -1.0)
            said.append(answer)
    return {
        "id": row["id"],
        "prompt": row["prompt"],
        "completions": completions,
        "rewards": rewards,
        "split": row["split"],
        "metadata": {
            "problem": row["problem"],
            "question": row["question_id"],
            "scenario": row["scenario"],
            "widget": row["widget"],
            "size": row["size"],
            "votes": [[answer["up"], answer["down"]] for answer in said],
            "tags": [answer["tags"] for answer in said],
            "notes": [answer["notes"] for answer in said],
        },
    }
