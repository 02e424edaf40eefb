"""What a model writes by itself after held-out prompts: is it an answer that there is, and do people like it?"""

from collections.abc import Sequence
from typing import Any

from core.checkpoint import Checkpoint
from core.dataset import Snapshot, read_rows
from core.evaluation import Sample
from core.use_cases.widget_ratings.prompts import END

CHOSEN = ("widget", "fixture")
"""Problems whose answers are a choice of what the dashboard has; one's own words can't be checked like that."""
PROMPTS = 48
"""Prompts that are answered; the others' pairs are read alone."""
SHOWN = 3
UNKNOWN, DISLIKED = "the dashboard has no such answer", "people don't like it"
Row = dict[str, Any]


def answers_there_are(rows: Snapshot) -> dict[str, set[str]]:
    """Every answer by problem, whatever it was the answer to; each widget in each size that any was shown in."""
    found: dict[str, set[str]] = {problem: set() for problem in CHOSEN}
    for row in read_rows(rows):
        if (problem := row["metadata"].get("problem")) in found:
            found[problem].update(text.removesuffix(END) for text in row["completions"])
    parts = [text.partition(" (") for text in found["widget"]]
    found["widget"] = {f"{widget} ({size}" for widget, _, _ in parts for _, _, size in parts}
    return found


def written(
    entrant: Checkpoint, prompts: Sequence[Row], there_are: dict[str, set[str]], longest: int, dtype: str
) -> tuple[dict[str, float], tuple[Sample, ...]]:
    """How many of its likeliest answers there are, how many of those were rated there and liked; and some that went wrong."""
    from core.language.writer import Writer  # noqa: PLC0415  (torch)

    asked = [row for row in prompts if row["metadata"].get("problem") in there_are][:PROMPTS]
    if not asked:
        return {}, ()
    counts = {"written": float(len(asked)), "known": 0.0, "rated": 0.0, "liked": 0.0}
    wrong: list[Sample] = []
    answers = Writer(entrant, dtype=dtype).answers([row["prompt"] for row in asked], longest, (END,))
    for row, answer in zip(asked, answers, strict=True):
        worth = dict(
            zip((text.removesuffix(END) for text in row["completions"]), row["rewards"], strict=True)
        )
        known = answer.text in there_are[row["metadata"]["problem"]]
        liked = worth.get(answer.text, 0.0) > 0
        counts["known"] += known
        counts["rated"] += answer.text in worth
        counts["liked"] += liked
        if not known or (answer.text in worth and not liked):
            best = max(worth, key=lambda text: worth[text])
            why = DISLIKED if known else UNKNOWN
            wrong.append(Sample(row["id"], row["prompt"], answer.text, best, why))
    return counts, tuple(wrong[:SHOWN])
