"""JSONL export with prompts in figures, per CPU-second of the process that writes and of PostgreSQL together.

One agent type's decisions with their rewards out of a million of all types, in a process of its own, whose peak memory is told;
against the usual way, which fetches all rows of the app's own table, makes records and then examples of them, and writes those
by `json.dumps`, with the same prompts, out of fewer, since its cost a row does not fall with more. They take turns, and each
counts by its median, since a machine with neighbours is not always as fast. `--quick` takes fewer of both, and asks for less.
"""

import argparse
import json
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median
from typing import Any

from sqlalchemy import text

from benchmarks import app_decisions
from benchmarks.cpu import cpu_seconds
from benchmarks.figures import Figure, report
from benchmarks.logged_decisions import logged_decisions
from benchmarks.own_store import RUN, SOURCE, fill, own_store, tidy
from core.config import load_config
from core.dataset import Snapshot
from core.store.nights import reward_night
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.prompts import render
from core.use_cases.decision_agents.rows import NAME, collect

NIGHT = date(2027, 1, 1)
"""After every deadline."""
AGENT = "FILER"
"""Four decisions in ten are his."""
USUAL = """
    SELECT id, "agentType", state, action, reward, "rewardComponents", confidence, reasoning, "userFeedback",
        "userCorrection", "outcomeMetrics", "itemId", "opusId", "modelVersion", "createdAt"
    FROM "Decision" WHERE "agentType" = :agent AND "isTrainingData" AND reward >= -2 ORDER BY "createdAt" DESC
"""
"""What the app's own export reads of its own table."""


@dataclass
class Decision:
    """What the usual way makes of a row."""

    id: str
    agent_type: str
    state: dict[str, Any]
    action: Any
    reward: float
    components: dict[str, Any] | None
    confidence: float | None
    reasoning: str | None
    feedback: str | None
    correction: Any
    outcome: dict[str, Any] | None
    item_id: str | None
    opus_id: str | None
    model_version: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Size:
    """How many decisions there are when each way exports those of one agent type."""

    decisions: int = 1_000_000
    usual: int = 200_000
    turns: int = 3
    times: float = 3.0
    """What is asked for: rows per CPU-second, ours to theirs."""


QUICK = Size(decisions=100_000, usual=40_000, turns=1, times=2.2)


@dataclass(frozen=True, slots=True)
class Exported:
    """What one export took."""

    rows: int
    seconds: float
    megabytes: float
    """The process's peak."""


def main() -> int:
    """Print the figures; exit 1 when one falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    size = QUICK if parser.parse_args().quick else Size()
    with own_store(NAME) as folder:
        return report(_measured(size, folder))


def _measured(size: Size, folder: Path) -> Iterator[Figure]:
    _fill(size.usual, 0)
    app_decisions.make_table()
    app_decisions.load_by_copy(logged_decisions(size.usual))
    app_decisions.take_rewards()
    _fill(size.decisions, size.usual)
    turns = [
        (_apart(_ours, folder / str(turn)), _apart(_usual, folder / str(turn))) for turn in range(size.turns)
    ]
    ours, theirs = turns[0]
    mine, usual = (median(1e6 * one.seconds / one.rows for one in way) for way in zip(*turns, strict=True))
    what = f"JSONL export of {ours.rows:,} decisions with prompts, of {size.decisions:,} that are there"
    against = f"fetchall and json.dumps of {theirs.rows:,}, of {size.usual:,}"
    spent = f"{against}: {usual:.1f} CPU-µs a row to {mine:.1f}"
    yield Figure(f"{what}: rows per CPU-second", usual / mine, "x", size.times, spent)
    memory = f"{against}: {theirs.megabytes:.0f} MB"
    peak = max(one.megabytes for one, _ in turns)
    yield Figure(f"{what}: peak memory", peak, "MB", 200, memory, at_most=True)


def _fill(count: int, after: int) -> None:
    """More decisions, and what they are worth."""
    fill(count, after)
    as_of = datetime.combine(NIGHT, time(0, tzinfo=UTC))
    reward_night(NAME, _config().rewards, NIGHT, as_of, run_id=RUN)
    tidy("overnight.rewards")


def _apart(work: Callable[[Path], Exported], folder: Path) -> Exported:
    """In a process of its own, so that its peak of memory is its own."""
    folder.mkdir(exist_ok=True)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, folder).result()


def _ours(folder: Path) -> Exported:
    """As a snapshot, with manifest and digest."""
    made: list[Snapshot] = []
    seconds = cpu_seconds(
        lambda: made.append(collect(_config(), folder / "ours", lambda _share, _words: None))
    )
    return Exported(made[0].counts["rows"], seconds, _peak())


def _usual(folder: Path) -> Exported:
    counts: list[int] = []
    seconds = cpu_seconds(lambda: counts.append(_fetch_all(folder / "usual.jsonl")))
    return Exported(counts[0], seconds, _peak())


def _fetch_all(path: Path) -> int:
    with app_decisions.engine().connect() as held:
        rows = held.execute(text(USUAL), {"agent": AGENT}).fetchall()
    decisions = [Decision(*row) for row in rows]
    examples = [_example(decision) for decision in decisions]
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(example) + "\n")
    rewards = [example["reward"] for example in examples]
    told = Counter(example["metadata"]["userFeedback"] for example in examples)
    print(f"mean {fmean(rewards)}, {min(rewards)} to {max(rewards)}, {told}", file=sys.stderr)
    return len(examples)


def _example(decision: Decision) -> dict[str, Any]:
    return {
        "prompt": render(AGENT, decision.state),
        "completion": json.dumps(decision.action),
        "reward": decision.reward,
        "confidence": decision.confidence,
        "metadata": {
            "decisionId": decision.id,
            "itemId": decision.item_id,
            "opusId": decision.opus_id,
            "userFeedback": decision.feedback,
            "rewardComponents": decision.components,
            "createdAt": decision.created_at.isoformat(),
        },
    }


def _peak() -> float:
    """Megabytes that this process has had at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _config() -> DecisionAgentsConfig:
    overrides = {
        "slot": AGENT.lower(),
        "export.limit": None,
        "source": {"name": SOURCE, "kind": "postgresql"},
    }
    return load_config(DecisionAgentsConfig, NAME, "default", overrides)


if __name__ == "__main__":
    sys.exit(main())
