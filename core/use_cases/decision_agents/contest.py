"""The contest: everybody answers the same held-out decisions, whose right answer the user confirmed or gave."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

import numpy as np

from core.checkpoint import Checkpoint
from core.dataset import Snapshot, read_rows
from core.errors import DataError
from core.evaluation import Contest, Sample
from core.held_out import TEST, TRAIN
from core.use_case import Progress
from core.use_cases.decision_agents.answers import END, is_same, is_valid, read_answer, score
from core.use_cases.decision_agents.config import BASELINES, METRICS, MODELS, DecisionAgentsConfig
from core.use_cases.decision_agents.groups import TOO_LONG

AS_LOGGED, MOST_COMMON = BASELINES
FEWEST = 2
"""People whose decisions are held out: a comparison needs more than one."""
Row = dict[str, Any]


@dataclass(slots=True)
class Paper:
    """One policy's answers, item by item, and what they were worth."""

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    samples: list[Sample] = field(default_factory=list)
    invalid: int = 0
    tokens: int = 0
    seconds: float = 0.0
    asked: bool = False
    """Whether a model answered: what a script says is no decision of its own."""

    def mark(self, item: Row, text: str, samples: int) -> None:
        """Hold an answer against the truth."""
        truth = json.loads(item["metadata"]["truth"])
        answer = read_answer(text)
        worth = 0.0 if answer is None else score(answer, truth)
        right = answer is not None and is_same(answer, truth)
        valid = answer is not None and is_valid(answer, truth)
        self.values["accuracy"].append(float(right))
        self.values["score"].append(worth)
        self.invalid += not valid
        if not right and len(self.samples) < samples:
            self.samples.append(
                Sample(
                    item["id"],
                    item["prompt"],
                    text,
                    item["metadata"]["truth"],
                    "wrong" if valid else "invalid",
                )
            )

    def counts(self) -> dict[str, float]:
        """What the evaluation's guard on invalid answers reads."""
        counts = {"decisions": float(len(self.values["accuracy"])), "invalid": float(self.invalid)}
        return counts | ({"tokens": float(self.tokens), "seconds": self.seconds} if self.asked else {})


def contest(
    config: DecisionAgentsConfig,
    rows: Snapshot | None,
    entrants: Mapping[str, Checkpoint],
    progress: Progress,
) -> tuple[Contest, Contest]:
    """Everybody's answers to the newest held-out decisions; and answers drawn among the users' own, twice, with other dice.

    A checkpoint that enters under two names answers once. Raises: DataError without held-out decisions of known truth.
    """
    if rows is None:
        raise DataError(
            "a contest of logged decisions needs the rewards that hold them: run that stage first"
        )
    items, skipped = held_out(config, rows)
    if lacking := too_few(rows, items):
        raise DataError(f"{rows.path}: {lacking}")
    dtype = entrants[MODELS[0]].notes.get("dtype", "auto")
    by_digest: dict[str, Paper] = {}
    distinct = {entrant.sha256: (name, entrant) for name, entrant in reversed(list(entrants.items()))}
    for number, (sha256, (name, entrant)) in enumerate(distinct.items()):
        told = _telling(progress, name, number, len(distinct), len(items))
        by_digest[sha256] = write(config, entrant, items, dtype, told)
    papers = {name: by_digest[entrant.sha256] for name, entrant in entrants.items()}
    for name, answers in scripted(items, list(_truths(rows))).items():
        papers[name] = marked(items, answers, 0)
    dice = {f"drawn answers, dice {seed}": marked(items, _drawn(items, rows, seed), 0) for seed in (1, 2)}
    progress(1.0, "the last answer is marked")
    about = _about(rows, skipped)
    return result(config, items, papers, about, _unit(rows)), result(config, items, dice, about, _unit(rows))


def held_out(config: DecisionAgentsConfig, rows: Snapshot) -> tuple[list[Row], Counter[str]]:
    """The decisions that everybody is asked about; and what was left out, by reason."""
    skipped: Counter[str] = Counter()
    return list(islice(items_of(config, rows, skipped), config.contest.items)), skipped


def too_few(rows: Snapshot, items: Sequence[Row]) -> str | None:
    """Why a model can't be judged by them, or None."""
    if len({item["metadata"]["person"] for item in items}) >= FEWEST:
        return None
    what = "give a file of more" if "file" in rows.notes else "collect more, or raise export.held_out"
    return f"{len(items)} held-out decisions of known truth, of fewer than {FEWEST} {_unit(rows)}s: {what}"


def _unit(rows: Snapshot) -> str:
    """Whose decisions share luck: those of a user, where users are few those of a session, of a file without either each line."""
    return str(rows.notes.get("unit", "user"))


def items_of(config: DecisionAgentsConfig, rows: Snapshot, skipped: Counter[str]) -> Iterator[Row]:
    """Held-out decisions whose right answer is known, the newest first. What is too long for the agent is counted."""
    from core.language.counting import TokenCounter  # noqa: PLC0415  (torch)

    counter, limits = TokenCounter(config.model), config.limits
    for row in read_rows(rows):
        truth = row["metadata"]["truth"]
        if row["split"] != TEST or truth is None:
            continue
        if counter.at_most(row["prompt"], limits.prompt) and counter.at_most(truth + END, limits.completion):
            yield row
        else:
            skipped[TOO_LONG] += 1


def write(
    config: DecisionAgentsConfig, entrant: Checkpoint, items: Sequence[Row], dtype: str, told: Any
) -> Paper:
    """A model's answers. Raises: ModelError."""
    from core.language.writer import Writer  # noqa: PLC0415  (torch)

    writer, started = Writer(entrant, dtype=dtype), time.perf_counter()
    answers = writer.answers([item["prompt"] for item in items], config.limits.completion, (END,), told)
    seconds = time.perf_counter() - started
    texts = [answer.text if answer.whole else "" for answer in answers]
    paper = marked(items, texts, config.contest.samples)
    paper.tokens, paper.seconds, paper.asked = writer.tokens_read, seconds, True
    return paper


def marked(items: Sequence[Row], texts: Iterable[str], samples: int) -> Paper:
    """Answers held against the truth of their items."""
    paper = Paper()
    for item, text in zip(items, texts, strict=True):
        paper.mark(item, text, samples)
    return paper


def scripted(items: Sequence[Row], truths: Sequence[str]) -> dict[str, list[str]]:
    """What needs no model: what the app's own model did, and what users wanted most often in the training rows."""
    most = Counter(truths).most_common(1)[0][0] if truths else ""
    return {
        AS_LOGGED: [item["completions"][0].removesuffix(END) for item in items],
        MOST_COMMON: [most] * len(items),
    }


def result(
    config: DecisionAgentsConfig, items: Sequence[Row], papers: Mapping[str, Paper], about: str, unit: str
) -> Contest:
    """Everybody's papers as one contest; the decisions of one user, or `unit`, share luck."""
    people = {
        person: place
        for place, person in enumerate(dict.fromkeys(item["metadata"]["person"] for item in items))
    }
    return Contest(
        policies=tuple(papers),
        items=tuple(item["id"] for item in items),
        clusters_I=np.array([people[item["metadata"]["person"]] for item in items], np.int64),
        values={name: np.array([paper.values[name] for paper in papers.values()]) for name in METRICS},
        counts={name: paper.counts() for name, paper in papers.items()},
        samples={name: tuple(paper.samples) for name, paper in papers.items() if paper.samples},
        cluster_name=unit,
        design=_design(config, items, about),
    )


def _about(rows: Snapshot, skipped: Counter[str]) -> str:
    """Whose decisions they are, and which are not asked for."""
    whose = (
        f"lines of {rows.notes['file']}"
        if "file" in rows.notes
        else f"of {_unit(rows)}s that nothing is trained on"
    )
    return whose + "".join(f"; left out: {reason}: {count:,}" for reason, count in skipped.items())


def _design(config: DecisionAgentsConfig, items: Sequence[Row], about: str) -> dict[str, str]:
    days = sorted(day for item in items if (day := item["metadata"]["logged_at"][:10]))
    when = f", made {days[0]} to {days[-1]}" if days else ""
    return {
        "decisions": f"{len(items):,} of {config.agent_type}{when}, {about}",
        "truth": "the action where the user confirmed it, else his correction",
        "answers": f"the likeliest text, at most {config.limits.completion} tokens; one that is no action is invalid and worth 0",
        "score": "mean reward: 1 for the right answer, a share for what an answer has of it",
        "as logged": "what the app's own model did on the same decisions; the truth leans to it, since it can be confirmed",
    }


def _truths(rows: Snapshot) -> Iterator[str]:
    known = (row["metadata"]["truth"] for row in read_rows(rows) if row["split"] == TRAIN)
    return (truth for truth in known if truth is not None)


def _drawn(items: Sequence[Row], rows: Snapshot, seed: int) -> list[str]:
    """Answers drawn among all that users wanted."""
    rng, known = Random(seed), list(_truths(rows)) or [item["metadata"]["truth"] for item in items]  # noqa: S311
    return [rng.choice(known) for _ in items]


def _telling(progress: Progress, name: str, number: int, models: int, items: int) -> Any:
    answered = 0

    def told(count: int) -> None:
        nonlocal answered
        answered += count
        progress(
            (number + answered / items) / models * 0.99,
            f"{name}: {answered:,} of {items:,} decisions answered",
        )

    return told
