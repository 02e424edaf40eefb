"""Which prompts a method learns from: those with an answer that is liked and one that is not make pairs, the rest is for KTO."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

from core.dataset import Snapshot, read_rows, write_snapshot
from core.held_out import TRAIN
from core.training.config import Method
from core.use_cases.widget_ratings.config import WidgetRatingsConfig

PAIRED, UNPAIRED = "has a pair: for dpo", "liked only, or disliked only: for kto"
TOO_LONG, LONG_ANSWER = "prompt longer than prompt_tokens", "answer longer than completion_tokens"
SAID = ("votes", "tags", "notes")
"""What a row's metadata holds of each answer."""
Row = dict[str, Any]


def groups(config: WidgetRatingsConfig, method: Method, rewards: Snapshot, folder: Path) -> Snapshot:
    """The rows of a method, with what was left out counted by reason. An answer that is too long is as if never rated."""
    skipped: Counter[str] = Counter()
    counts = {"pairs": 0}
    fitting = fit(config, read_rows(rewards), skipped)
    rows = _counted(config, _of_method(method, fitting, skipped), counts)
    return write_snapshot(
        folder, f"groups-{method}", rows, skipped=skipped, parents=(rewards.sha256,), notes=counts
    )


def too_few(config: WidgetRatingsConfig, method: Method, made: Snapshot) -> str | None:
    """Why a method's rows are not worth a training, or None."""
    counted = method == "dpo"
    found = int(made.notes["pairs"]) if counted else made.counts.get(TRAIN, 0)
    what = "pairs" if counted else "prompts without a pair"
    if found >= config.min_samples:
        return None
    return f"{found:,} {what} to train on, of at least {config.min_samples:,} (min_samples)"


def _counted(config: WidgetRatingsConfig, rows: Iterator[Row], counts: dict[str, int]) -> Iterator[Row]:
    """The rows, and in `counts` what those to train on hold."""
    for row in rows:
        if row["split"] == TRAIN:
            liked, disliked = row["rewards"].count(1.0), row["rewards"].count(-1.0)
            counts["pairs"] += min(liked * disliked, config.dpo.max_pairs or liked * disliked)
        yield row


def _of_method(method: Method, rows: Iterator[Row], skipped: Counter[str]) -> Iterator[Row]:
    for row in rows:
        if is_paired(row) == (method == "dpo"):
            yield row
        else:
            skipped[UNPAIRED if method == "dpo" else PAIRED] += 1


def fit(config: WidgetRatingsConfig, rows: Iterable[Row], skipped: Counter[str]) -> Iterator[Row]:
    """The rows whose prompt isn't too long, without answers that are; what is left out is counted."""
    from core.language.counting import TokenCounter  # noqa: PLC0415  (torch)

    counter = TokenCounter(config.model)
    for row in rows:
        if not counter.at_most(row["prompt"], config.prompt_tokens):
            skipped[TOO_LONG] += 1
            continue
        fits = [counter.at_most(completion, config.completion_tokens) for completion in row["completions"]]
        if not all(fits):
            skipped[LONG_ANSWER] += fits.count(False)
        if any(fits):
            yield row if all(fits) else _without(row, fits)


def _without(row: Row, keep: Sequence[bool]) -> Row:
    """A row with some of its answers, and what was said of those."""
    known = row["metadata"]
    return (
        row
        | {name: list(compress(row[name], keep)) for name in ("completions", "rewards")}
        | {"metadata": known | {name: list(compress(known[name], keep)) for name in SAID if name in known}}
    )


def is_paired(row: Row) -> bool:
    """Whether it has an answer that is liked and one that is not."""
    return len(set(row["rewards"])) > 1
