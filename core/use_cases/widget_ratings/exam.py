"""The lines of a file as pairs: what a person brings to see which answers a model prefers."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.dataset import Snapshot, read_rows, write_snapshot
from core.errors import DataError
from core.given_split import AS_SAID, named_in
from core.held_out import TEST
from core.use_cases.widget_ratings.config import WidgetRatingsConfig

TRAINED_ON, NO_PAIR = "to train on, as the file says", "no answer is worth more than another"
Row = dict[str, Any]


def exam(config: WidgetRatingsConfig, given: Snapshot, folder: Path) -> Snapshot:
    """A file's prompts with answers of different rewards, all held out; of a file that says what is held out, those only.

    The best of a prompt's answers are liked and the worst are not. Raises: DataError when no line has two such.
    """
    del config
    skipped: Counter[str] = Counter()
    rows = _prompts(given, skipped)
    snapshot = write_snapshot(
        folder, "exam of pairs", rows, skipped=skipped, parents=(given.sha256,), notes=given.notes
    )
    if not snapshot.counts["rows"]:
        why = ", ".join(f"{reason}: {count}" for reason, count in skipped.items())
        raise DataError(
            f"{given.notes.get('file', given.path)} has no pair to test a model on ({why}): a line needs 'completions' and "
            "'rewards' that differ"
        )
    return snapshot


def _prompts(given: Snapshot, skipped: Counter[str]) -> Iterator[Row]:
    said = given.notes.get("split") == AS_SAID
    for row in read_rows(given):
        worth = {
            answer: reward
            for answer, reward in zip(row["completions"], row.get("rewards", ()), strict=False)
            if reward is not None
        }
        if said and row["split"] != TEST:
            skipped[TRAINED_ON] += 1
        elif len({*worth.values()}) < 2:
            skipped[NO_PAIR] += 1
        else:
            yield _prompt(row, worth)


def _prompt(row: Row, worth: dict[str, float]) -> Row:
    best, worst = max(worth.values()), min(worth.values())
    known = row["metadata"]
    asked = known.get("question") or named_in(known, "item") or row["id"]
    ends = {
        answer: 1.0 if reward == best else -1.0 for answer, reward in worth.items() if reward in (best, worst)
    }
    return {
        "id": row["id"],
        "prompt": row["prompt"],
        "completions": list(ends),
        "rewards": list(ends.values()),
        "split": TEST,
        "metadata": {"question": str(asked), "scenario": known.get("scenario")},
    }
