"""What a model writes by itself after held-out prompts: is it an answer that there is, and do people like it?"""

from collections.abc import Sequence
from typing import Any

from core.checkpoint import Checkpoint
from core.evaluation import Sample
from core.use_cases.widget_ratings.prompts import END, offered

PROMPTS = 100
"""Prompts that are answered; the others' pairs are read alone."""
SHOWN = 3
UNKNOWN, DISLIKED = "the dashboard has no such answer", "people don't like it"
Row = dict[str, Any]


def choices(row: Row) -> set[str]:
    """All that can be answered to a prompt; nothing where one's own words are asked for, or a person brought the prompt."""
    found = offered(row["metadata"].get("problem", ""), row["prompt"])
    return found | {text.removesuffix(END) for text in row["completions"]} if found else found


def written(
    entrant: Checkpoint, prompts: Sequence[Row], longest: int, dtype: str
) -> tuple[dict[str, float], tuple[Sample, ...]]:
    """How many of its likeliest answers there are not, how many were rated there and liked; and some that went wrong."""
    from core.language.writer import Writer  # noqa: PLC0415  (torch)

    asked = [(row, known) for row in prompts if (known := choices(row))][:PROMPTS]
    if not asked:
        return {}, ()
    counts = {"decisions": float(len(asked)), "invalid": 0.0, "rated": 0.0, "liked": 0.0}
    wrong: list[Sample] = []
    answers = Writer(entrant, dtype=dtype).answers([row["prompt"] for row, _ in asked], longest, (END,))
    for (row, known), answer in zip(asked, answers, strict=True):
        texts = (text.removesuffix(END) for text in row["completions"])
        worth = dict(zip(texts, row["rewards"], strict=True))
        reward = worth.get(answer.text)
        counts["invalid"] += answer.text not in known
        counts["rated"] += reward is not None
        counts["liked"] += (reward or 0) > 0
        if answer.text not in known or (reward is not None and reward <= 0):
            why = DISLIKED if answer.text in known else UNKNOWN
            best = max(worth, key=lambda text: worth[text])
            wrong.append(Sample(row["id"], row["prompt"], answer.text, best, why))
    return counts, tuple(wrong[:SHOWN])
