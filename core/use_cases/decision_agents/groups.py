"""Which decisions a method learns from: accepted ones to imitate, whole sessions to learn by reward, none that the test knows."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from core.dataset import Snapshot, read_rows, write_snapshot
from core.decision import Feedback
from core.duplicates import Seen
from core.held_out import TEST
from core.training.config import Method
from core.use_cases.decision_agents.answers import END
from core.use_cases.decision_agents.config import DecisionAgentsConfig

NO_TRUTH, NO_ANSWER, NO_REWARD = "neither confirmed nor corrected", "corrected by no answer", "no reward"
TOO_LONG, KNOWN, TWICE, INCOMPLETE = (
    "longer than the agent's limits",
    "in the evaluation set",
    "nearly the same as another",
    "session incomplete",
)
Row = dict[str, Any]


def groups(config: DecisionAgentsConfig, method: Method, rewards: Snapshot, folder: Path) -> Snapshot:
    """The rows of a method, with what was left out counted by reason.

    A training row whose prompt stands in the held-out rows is dropped (the whole session of it, for PPO), and so is one
    that says nearly the same as another.
    """
    skipped: Counter[str] = Counter()
    usable = _usable(config, method, rewards, skipped)
    units = (
        _whole(_sessions(usable, folder.parent), skipped) if method == "ppo" else ([row] for row in usable)
    )
    if (likeness := config.export.near_duplicates) is not None:
        held_out = (row["prompt"] for row in read_rows(rewards) if row["split"] == TEST)
        units = _apart(units, likeness, held_out, skipped)
    rows = (row for unit in units for row in unit)
    return write_snapshot(folder, f"groups-{method}", rows, skipped=skipped, parents=(rewards.sha256,))


def _usable(
    config: DecisionAgentsConfig, method: Method, rewards: Snapshot, skipped: Counter[str]
) -> Iterator[Row]:
    from core.language.counting import TokenCounter  # noqa: PLC0415  (torch)

    counter = TokenCounter(config.model)
    for row in read_rows(rewards):
        fit = _accepted(row) if method == "sft" else _rewarded(row)
        limits = config.limits
        if fit is None:
            skipped[_why_not(row, method)] += 1
        elif not (
            counter.at_most(fit["prompt"], limits.prompt)
            and counter.at_most(fit["completions"][0], limits.completion)
        ):
            skipped[TOO_LONG] += 1
        else:
            yield fit


def _why_not(row: Row, method: Method) -> str:
    if method != "sft":
        return NO_REWARD
    corrected = row["metadata"]["logged"]["userFeedback"] == Feedback.CORRECTED
    return NO_ANSWER if corrected else NO_TRUTH


def _accepted(row: Row) -> Row | None:
    """The decision as its user wants it: confirmed as it was, or with the correction as the answer.

    What the logged action was worth, and how sure its model was, says nothing of a correction.
    """
    known = row["metadata"]
    truth = known["truth"]
    if truth is None:
        return None
    rest = {name: value for name, value in row.items() if name not in {"rewards", "behaviour"}}
    if row["completions"] != [truth + END]:
        known = known | {"total": None, "confidence": None, "logged": known["logged"] | {"truth": truth}}
    return rest | {"completions": [truth + END], "weights": [1.0], "metadata": known}


def _rewarded(row: Row) -> Row | None:
    return None if row["rewards"][0] is None else row


def _sessions(rows: Iterable[Row], folder: Path) -> Iterator[list[Row]]:
    """Each session's decisions in their order: by step, by time where the app numbered none.

    The rows lie in a file meanwhile; in memory is only where.
    """
    places: dict[str, list[tuple[int, str, int]]] = {}
    with TemporaryFile(dir=folder) as file:
        for row in rows:
            known = row["metadata"]
            at = (known["step"] or 0, known["logged_at"], file.tell())
            places.setdefault(known["session"], []).append(at)
            file.write(json.dumps(row).encode() + b"\n")
        for found in places.values():
            yield [_read_at(file, place) for *_, place in sorted(found)]


def _read_at(file: IO[bytes], place: int) -> Row:
    file.seek(place)
    row: Row = json.loads(file.readline())
    return row


def _whole(sessions: Iterable[list[Row]], skipped: Counter[str]) -> Iterator[list[Row]]:
    """Without sessions of which a step is missing, or is left out: its reward would be lost to those before it.

    The agent's own decisions are its steps, whatever others decided in between, and wherever the app counts from.
    """
    for decisions in sessions:
        if len(decisions) == decisions[0]["metadata"]["session_length"]:
            yield [row | {"metadata": row["metadata"] | {"step": at}} for at, row in enumerate(decisions)]
        else:
            skipped[INCOMPLETE] += len(decisions)


def _apart(
    units: Iterable[list[Row]], likeness: float, held_out: Iterable[str], skipped: Counter[str]
) -> Iterator[list[Row]]:
    """Units of which no prompt is known to the test, and that say something new; held-out units as they are."""
    questions, texts = Seen(likeness), Seen(likeness)
    questions.add(held_out)
    for unit in units:
        if unit[0]["split"] == TEST:
            yield unit
        elif any(questions.knows(row["prompt"]) for row in unit):
            skipped[KNOWN] += len(unit)
        elif not texts.is_new("\n".join(row["prompt"] + row["completions"][0] for row in unit)):
            skipped[TWICE] += len(unit)
        else:
            yield unit
