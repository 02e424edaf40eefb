"""The champion pointer in a person's hands: moved with evidence, moved back, and read."""

from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run

import core.by_hand
from core.by_hand import ByHand
from core.store.migrate import migrate
from core.store.registry import Champion, Decision, finish_run, history
from tasks.stage import RETRIES

HISTORY_KEY = "overnight-history"
SHOWN = 12
"""Letters of a digest."""
DIGESTS = ("candidate", "incumbent", "evaluation", "snapshot", "release", "config_digest")


@task(name="open", **RETRIES)
def open_by_hand(use_case: str, slot: str, by: str | None, reason: str, **asked: Any) -> ByHand:
    """Write down who asks for what, before anything changes."""
    return core.by_hand.open_by_hand(str(flow_run.get_id()), use_case, slot, by, reason, **asked)


@task(name="promote", **RETRIES)
def promote_by_hand(word: ByHand, evaluation: str | None, checkpoint: str | None) -> Champion:
    """Move the champion pointer where an evaluation found 'better' and the release is verified."""
    return _told(word, *core.by_hand.promote_by_hand(word, evaluation=evaluation, checkpoint=checkpoint))


@task(name="rollback", **RETRIES)
def roll_back(word: ByHand) -> Champion:
    """Bring back the champion before this one, with its files."""
    return _told(word, *core.by_hand.roll_back(word))


@task(name="history", **RETRIES)
def show_history(use_case: str, slot: str, limit: int) -> list[Decision]:
    """Every decision about a slot as a table in the UI, newest first."""
    slot = core.by_hand.slot_named(use_case, slot)
    migrate()
    decisions = history(use_case, slot, limit)
    said = f"{use_case} '{slot}': {len(decisions)} decisions, newest first"
    create_table_artifact([_row(decision) for decision in decisions], key=HISTORY_KEY, description=said)
    return decisions


def _told(word: ByHand, champion: Champion, missing: tuple[str, ...]) -> Champion:
    logger = get_run_logger()
    logger.info("%s '%s' uses %s now", word.use_case, word.slot, champion.checkpoint[:SHOWN])
    for format_ in missing:
        logger.warning(
            "its %s files are gone or changed and have no alias: run release/%s again", format_, format_
        )
    finish_run(word.run_id, "completed")
    return champion


def _row(decision: Decision) -> dict[str, Any]:
    values = decision.model_dump(mode="json", exclude={"id"})
    values["at"] = decision.at.strftime("%Y-%m-%d %H:%M:%S %Z")
    values["by"] = decision.by or f"run {decision.run_id}"
    return values | {name: (values[name] or "–")[:SHOWN] for name in DIGESTS}
