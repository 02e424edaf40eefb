"""A person's word on which model is in use: promote with recorded evidence, or undo; and who said so."""

import socket
from typing import Any

import psutil

from core.config import load_config
from core.errors import PromotionError
from core.evaluation import Verdict
from core.files import digest
from core.promotion import Promotion
from core.record import Record
from core.run import code_revision
from core.served_names import follow_champion
from core.store.evidence import find_evidence
from core.store.migrate import migrate
from core.store.registry import (
    Champion,
    history,
    record_promotion,
    record_run,
    rollback,
)

BY_HAND = "by hand"


class ByHand(Record):
    """What a person asks for."""

    run_id: str
    use_case: str
    slot: str
    by: str
    reason: str


def open_by_hand(run_id: str, use_case: str, slot: str, by: str | None, reason: str, **asked: Any) -> ByHand:
    """Write down who asks for what, and why, before anything changes; without a name, the account this runs as.

    Raises: StoreError, RecordError, ConfigError.
    """
    by = (by or "").strip() or _account()
    word = ByHand(run_id=run_id, use_case=use_case, slot=slot_named(use_case, slot), by=by, reason=reason)
    config = word.model_dump(exclude={"run_id", "use_case"}) | asked
    migrate()
    record_run(
        run_id=run_id,
        use_case=use_case,
        preset=BY_HAND,
        config_digest=digest(config),
        code_revision=code_revision(),
        config=config,
    )
    return word


def slot_named(use_case: str, slot: str) -> str:
    """A slot as its use case spells it. Raises: ConfigError that lists those there are."""
    from core.use_cases import use_case_named  # noqa: PLC0415  (seconds to import, and every flow imports its tasks)

    named = use_case_named(use_case)
    return load_config(named.config, named.name, overrides={"slot": slot}).slot


def promote_by_hand(
    word: ByHand, *, evaluation: str | None, checkpoint: str | None
) -> tuple[Champion, tuple[str, ...]]:
    """Make a checkpoint the champion whose recorded evaluation found 'better' and whose release is verified.

    Also the formats whose files are gone or changed: they have no alias until they are released again.
    Raises: PromotionError that says what is missing; StorageError, StoreError.
    """
    if not _is_done(word):
        record_promotion(word.run_id, _promotion(word, evaluation, checkpoint))
    return _served(word)


def roll_back(word: ByHand) -> tuple[Champion, tuple[str, ...]]:
    """Bring back the champion before this one, and its files under the slot's aliases; the rest as `promote_by_hand`.

    Raises: PromotionError when there is nothing to undo; StorageError, StoreError.
    """
    if not _is_done(word):
        rollback(word.use_case, word.slot, run_id=word.run_id, reason=word.reason)
    return _served(word)


def _is_done(word: ByHand) -> bool:
    """Whether this run moved the pointer before it was broken off: only the aliases are left to do."""
    return any(decision.run_id == word.run_id for decision in history(word.use_case, word.slot, limit=1))


def _served(word: ByHand) -> tuple[Champion, tuple[str, ...]]:
    holder, missing = follow_champion(word.use_case, word.slot)
    if holder is None:
        raise PromotionError(f"{word.use_case} '{word.slot}' has no champion any more: see its history")
    return holder, missing


def _promotion(word: ByHand, evaluation: str | None, checkpoint: str | None) -> Promotion:
    evidence = find_evidence(word.use_case, word.slot, evaluation=evaluation, checkpoint=checkpoint)
    return Promotion(
        use_case=word.use_case,
        slot=word.slot,
        verdict=Verdict.BETTER,
        candidate=evidence.candidate,
        incumbent=evidence.incumbent,
        evaluation=evidence.evaluation,
        release=evidence.release.sha256,
        promoted=True,
        reason=f"promoted by hand ({word.reason}), {Verdict.BETTER}: {evidence.reason}; the release is verified",
    )


def _account() -> str:
    return f"{psutil.Process().username()} on {socket.gethostname()}"
