"""Which model a use case's slot uses, and every decision that was made about it.

The pointer moves only together with the row that says why. Decisions about one slot wait for each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from core.errors import PromotionError
from core.files import digest
from core.promotion import Promotion
from core.record import Record
from core.store.engine import transaction
from core.store.tables import ChampionRow, CheckpointRow, PromotionRow, RunRow, SnapshotRow


class Champion(Record):
    """The model a slot uses now."""

    use_case: str
    slot: str
    checkpoint: str
    """Digest."""
    release: str | None
    promotion: int | None
    """The promotion in force; None when a rollback went all the way back to the first incumbent."""
    since: datetime


class Decision(Record):
    """One line of a slot's history, with the evidence."""

    id: int
    at: datetime
    action: str
    """'promoted', 'kept' or 'rolled back'."""
    by: str | None
    """Who decided by hand; None where a run's own verdict did."""
    candidate: str
    incumbent: str
    verdict: str
    reason: str
    evaluation: str
    snapshot: str | None
    release: str | None
    run_id: str | None
    code_revision: str | None
    config_digest: str | None


def champion(use_case: str, slot: str) -> Champion | None:
    """The model in use, or None when none was ever promoted. Raises: StoreError."""
    with transaction() as session:
        row = session.get(ChampionRow, (use_case, slot))
        return _champion(row) if row else None


def record_promotion(run_id: str, promotion: Promotion) -> Champion | None:
    """Carry out a decision: move the pointer or keep it; the champion from now on.

    Raises: what `promote` and `keep` raise.
    """
    return promote(run_id, promotion) if promotion.promoted else keep(run_id, promotion)


def promote(run_id: str, promotion: Promotion) -> Champion | None:
    """Let the candidate be the champion, in one transaction with its evidence; a second call changes nothing.

    Raises: PromotionError when the champion is no longer the incumbent that the candidate was compared with;
    RecordError when its evidence was never recorded; StoreError.
    """
    with _decision(promotion.use_case, promotion.slot) as session:
        holder = session.get(ChampionRow, (promotion.use_case, promotion.slot))
        if not _is_recorded(session, run_id, promotion):
            _need_same_incumbent(holder, promotion)
            previous = holder.promotion_id if holder else None
            row = _row(session, run_id, promotion, "promoted", previous)
            holder = _point(session, row, promotion.candidate, promotion.release, row.id)
        return _champion(holder) if holder else None


def keep(run_id: str, promotion: Promotion) -> Champion | None:
    """Write down why the champion stays; a second call changes nothing. Raises: StoreError."""
    with _decision(promotion.use_case, promotion.slot) as session:
        holder = session.get(ChampionRow, (promotion.use_case, promotion.slot))
        if not _is_recorded(session, run_id, promotion):
            _row(session, run_id, promotion, "kept", holder.promotion_id if holder else None)
        return _champion(holder) if holder else None


def rollback(use_case: str, slot: str, *, run_id: str | None = None, reason: str = "asked for") -> Champion:
    """Undo the promotion in force: the champion before it comes back, with its release.

    Raises: PromotionError when there is nothing to undo; StoreError.
    """
    with _decision(use_case, slot) as session:
        holder = session.get(ChampionRow, (use_case, slot))
        undone = _promotion(session, holder.promotion_id if holder else None)
        if undone is None:
            raise PromotionError(
                f"{use_case} has no promotion in slot '{slot}' to undo: its history names those there were"
            )
        before = _promotion(session, undone.previous_id)
        release = before.release if before else None
        _undoing_row(session, undone, release, run_id, reason)
        row = _point(session, undone, undone.incumbent, release, undone.previous_id)
        return _champion(row)


def history(use_case: str, slot: str, limit: int = 100) -> list[Decision]:
    """The decisions about a slot, newest first. Raises: StoreError."""
    query = (
        select(PromotionRow, RunRow)
        .join(RunRow, isouter=True)
        .where(col(PromotionRow.use_case) == use_case, col(PromotionRow.slot) == slot)
        .order_by(col(PromotionRow.id).desc())
        .limit(limit)
    )
    with transaction() as session:
        return [_decision_of(row, run) for row, run in session.exec(query)]


@contextmanager
def _decision(use_case: str, slot: str) -> Iterator[Session]:
    """A transaction that is alone with one slot: a row that isn't there yet can't be locked."""
    with transaction() as session:
        key = func.hashtextextended(digest("champion", use_case, slot), 0)
        session.exec(select(func.pg_advisory_xact_lock(key)))
        yield session


def _promotion(session: Session, number: int | None) -> PromotionRow | None:
    return None if number is None else session.get(PromotionRow, number)


def _identity(run_id: str, promotion: Promotion) -> str:
    return digest("promotion", run_id, promotion.model_dump(mode="json"))


def _is_recorded(session: Session, run_id: str, promotion: Promotion) -> bool:
    query = select(PromotionRow.id).where(col(PromotionRow.sha256) == _identity(run_id, promotion))
    return session.exec(query).first() is not None


def _need_same_incumbent(holder: ChampionRow | None, promotion: Promotion) -> None:
    if holder and holder.checkpoint != promotion.incumbent:
        raise PromotionError(
            f"the champion of {promotion.use_case} '{promotion.slot}' changed meanwhile: the candidate was compared with "
            f"{promotion.incumbent[:12]} and {holder.checkpoint[:12]} is in use now; evaluate again"
        )


def _row(
    session: Session, run_id: str, promotion: Promotion, action: str, previous: int | None
) -> PromotionRow:
    row = PromotionRow(
        sha256=_identity(run_id, promotion),
        action=action,
        snapshot=_snapshot_of(session, promotion.candidate),
        run_id=run_id,
        previous_id=previous,
        **promotion.model_dump(mode="json", exclude={"promoted"}),
    )
    session.add(row)
    session.flush()
    return row


def _undoing_row(
    session: Session, undone: PromotionRow, release: str | None, run_id: str | None, reason: str
) -> None:
    values = undone.model_dump(exclude={"id", "created_at"})
    changed = {
        "sha256": digest("rollback", undone.id),
        "action": "rolled back",
        "candidate": undone.incumbent,
        "incumbent": undone.candidate,
        "release": release,
        "run_id": run_id,
        "reason": f"rolled back: {reason}",
    }
    session.add(PromotionRow(**values | changed))
    session.flush()


def _snapshot_of(session: Session, checkpoint: str) -> str | None:
    """The snapshot that a checkpoint was trained on."""
    trained = session.get(CheckpointRow, checkpoint)
    parents = trained.parents if trained else []
    query = select(SnapshotRow.sha256).where(col(SnapshotRow.sha256).in_(parents))
    return session.exec(query).first()


def _point(
    session: Session, slot: PromotionRow, checkpoint: str, release: str | None, promotion: int | None
) -> ChampionRow:
    values = {"checkpoint": checkpoint, "release": release, "promotion_id": promotion, "since": func.now()}
    statement = (
        insert(ChampionRow)
        .values(use_case=slot.use_case, slot=slot.slot, **values)
        .on_conflict_do_update(index_elements=["use_case", "slot"], set_=values)
    )
    session.exec(statement)
    session.expire_all()
    return session.get_one(ChampionRow, (slot.use_case, slot.slot))


def _champion(row: ChampionRow) -> Champion:
    values = row.model_dump(exclude={"promotion_id"})
    return Champion(promotion=row.promotion_id, **values)


def _decision_of(row: PromotionRow, run: RunRow | None) -> Decision:
    values = row.model_dump(include=set(Decision.model_fields))
    return Decision(
        at=row.created_at,
        by=run.config.get("by") if run else None,
        code_revision=run.code_revision if run else None,
        config_digest=run.config_digest if run else None,
        **values,
    )
