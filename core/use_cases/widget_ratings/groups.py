"""Which prompts a method learns from: those with an answer that is liked and one that is not make pairs, the rest is for KTO."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.dataset import Snapshot, read_rows, write_snapshot
from core.training.config import Method
from core.use_cases.widget_ratings.config import WidgetRatingsConfig

PAIRED, UNPAIRED = "has a pair: for dpo", "liked only, or disliked only: for kto"
TOO_LONG, LONG_ANSWER = "prompt longer than prompt_tokens", "answer longer than completion_tokens"
Row = dict[str, Any]


def groups(config: WidgetRatingsConfig, method: Method, rewards: Snapshot, folder: Path) -> Snapshot:
    """The rows of a method, with what was left out counted by reason."""
    skipped: Counter[str] = Counter()
    rows = _fitting(config, method, rewards, skipped)
    return write_snapshot(folder, f"groups-{method}", rows, skipped=skipped, parents=(rewards.sha256,))


def _fitting(
    config: WidgetRatingsConfig, method: Method, rewards: Snapshot, skipped: Counter[str]
) -> Iterator[Row]:
    from core.language.counting import TokenCounter  # noqa: PLC0415  (torch)

    counter = TokenCounter(config.model)
    for row in read_rows(rewards):
        if not counter.at_most(row["prompt"], config.prompt_tokens):
            skipped[TOO_LONG] += 1
            continue
        short = _short_answers(row, counter, config.completion_tokens, skipped)
        if is_paired(short) == (method == "dpo"):
            yield short
        elif short["completions"]:
            skipped[UNPAIRED if method == "dpo" else PAIRED] += 1


def _short_answers(row: Row, counter: Any, limit: int, skipped: Counter[str]) -> Row:
    fits = [counter.at_most(completion, limit) for completion in row["completions"]]
    skipped[LONG_ANSWER] += fits.count(False)
    kept = {
        name: [value for value, fit in zip(row[name], fits, strict=True) if fit]
        for name in ("completions", "rewards")
    }
    return row | kept


def is_paired(row: Row) -> bool:
    """Whether it has an answer that is liked and one that is not."""
    return len(set(row["rewards"])) > 1
