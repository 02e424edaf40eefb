"""From simulated drafts to the rows that are trained on, stage by stage."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from core.dataset import Snapshot, read_rows, write_snapshot
from core.errors import DataError
from core.training.config import Method
from core.use_case import Progress
from core.use_cases.fantasy_draft.collection import Collection, Row, demonstrations, scenarios
from core.use_cases.fantasy_draft.config import FantasyDraftConfig
from core.use_cases.fantasy_draft.rewards import RewardName
from core.use_cases.fantasy_draft.sources import open_source

DEMONSTRATION, SCENARIO = "demonstration", "scenario"
TEST_SEED = 1_000_003
"""Held-out drafts are drawn from another seed: other opponents, other luck, and their own variation of the boards."""
OPEN_DECISIONS = 11
"""A draft has at least about this many decisions with more than one legal candidate."""


def collect(config: FantasyDraftConfig, folder: Path, progress: Progress) -> Snapshot:
    """Simulated drafts by a noisy teacher: his choices, and scenarios that are yet to be scored."""
    plan = config.collect
    parts: list[Collection] = []
    for split, examples in (("train", plan.examples), ("test", plan.test_examples)):
        progress(len(parts) / 4, f"the teacher drafts ({split})")
        parts.append(_demonstrations(config, split, examples))
        parts.append(_scenarios(config, split, None))
    progress(1.0, "every decision is a row")
    return write_snapshot(
        folder,
        "decisions",
        chain.from_iterable(part.rows for part in parts),
        skipped=_skipped(parts),
        notes={"adp": open_source(config.players).adp_method, "players": config.players.source},
    )


def reward(config: FantasyDraftConfig, decisions: Snapshot, folder: Path, progress: Progress) -> Snapshot:
    """Every legal candidate of every scenario, scored by finishing the draft; demonstrations pass through.

    The drafts are played again from their seeds. Raises: DataError when they are not the ones collected.
    """
    scored: dict[str, Row] = {}
    for number, split in enumerate(("train", "test")):
        progress(number / 2, f"finishing drafts for every candidate ({split})")
        scored |= {row["id"]: row for row in _scenarios(config, split, config.reward.name).rows}
    rows = (_scored(row, scored) for row in read_rows(decisions))
    progress(1.0, "every candidate is scored")
    return write_snapshot(folder, "rewards", rows, parents=(decisions.sha256,), notes=decisions.notes)


def groups(config: FantasyDraftConfig, method: Method, rewards: Snapshot, folder: Path) -> Snapshot:
    """The groups one method learns from: demonstrations for SFT, and for all others scenarios with every candidate's reward."""
    del config
    kind = DEMONSTRATION if method == "sft" else SCENARIO
    skipped: Counter[str] = Counter()
    rows = (_without_kind(row) for row in read_rows(rewards) if _is(kind, row, skipped))
    return write_snapshot(
        folder, f"groups-{method}", list(rows), skipped=dict(skipped), parents=(rewards.sha256,)
    )


def replay(config: FantasyDraftConfig, rewards: Snapshot) -> tuple[dict[str, Any], ...]:
    """Held-out prompts with their legal letters, for the check of an exported file."""
    del config
    held_out = (row for row in read_rows(rewards) if row["split"] == "test")
    return tuple({"prompt": row["prompt"], "completions": tuple(row["completions"])} for row in held_out)


def _demonstrations(config: FantasyDraftConfig, split: str, count: int) -> Collection:
    plan = config.collect
    found = demonstrations(
        -(-count // OPEN_DECISIONS),
        _seed(config, split),
        open_source(config.players),
        count=count,
        split=split,
        field=config.field,
        noise=plan.noise,
        temperature=plan.temperature,
    )
    return Collection([row | {"kind": DEMONSTRATION} for row in found.rows], found.skipped)


def _scenarios(config: FantasyDraftConfig, split: str, reward_name: RewardName | None) -> Collection:
    plan = config.collect
    found = scenarios(
        plan.drafts if split == "train" else plan.test_drafts,
        _seed(config, split),
        open_source(config.players),
        count=plan.scenarios if split == "train" else None,
        split=split,
        field=config.field,
        noise=plan.noise,
        resamples=config.reward.boards,
        reward=reward_name,
    )
    return Collection([row | {"kind": SCENARIO} for row in found.rows], found.skipped)


def _seed(config: FantasyDraftConfig, split: str) -> int:
    return config.seed_of_day(config.collect.seed + (TEST_SEED if split == "test" else 0))


def _scored(row: Row, scored: dict[str, Row]) -> Row:
    if row["kind"] == DEMONSTRATION:
        return row
    again = scored.get(row["id"])
    if again is None or again["prompt"] != row["prompt"]:
        raise DataError(
            f"scenario {row['id']} was not met again when its draft was replayed: collect anew, the simulator changed"
        )
    return row | {"rewards": again["rewards"]}


def _is(kind: str, row: Row, skipped: Counter[str]) -> bool:
    if row["kind"] != kind:
        skipped[f"a {row['kind']}, for another method"] += 1
        return False
    return True


def _without_kind(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "kind"}


def _skipped(parts: Iterable[Collection]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part.skipped)
    return dict(total)
