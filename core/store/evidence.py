"""What a person's promotion stands on: an evaluation that found 'better', and a verified release whose files are there."""

from typing import Any

from sqlmodel import Session, col, select

from core.errors import PromotionError
from core.evaluation import Verdict
from core.exporting.publish import is_intact
from core.exporting.results import Release
from core.promotion import ReleaseCheck
from core.record import Record
from core.store.engine import transaction
from core.store.tables import ChampionRow, CheckpointRow, EvaluationRow, ReleaseRow, RunRow

SHORTEST_DIGEST = 6


class Evidence(Record):
    """Why a checkpoint may become the champion of a slot."""

    candidate: str
    incumbent: str
    evaluation: str
    reason: str
    """What the evaluation found, in its own words."""
    release: Release


def find_evidence(
    use_case: str, slot: str, *, evaluation: str | None = None, checkpoint: str | None = None
) -> Evidence:
    """The evidence behind an evaluation (its id), or behind the newest evaluation of a checkpoint (its digest).

    The first letters are enough. Raises: PromotionError that says what is missing; StoreError.
    """
    if (evaluation is None) == (checkpoint is None):
        raise PromotionError(
            "a promotion by hand needs evidence: give either `evaluation` (its id from a report) or `checkpoint`"
        )
    with transaction() as session:
        row = _evaluation(session, use_case, slot, evaluation, checkpoint)
        holder = session.get(ChampionRow, (use_case, slot))
        _need_better(row)
        _need_incumbent(session, row, holder)
        releases = _verified(session, row.candidate)
    return Evidence(
        candidate=row.candidate,
        incumbent=row.incumbent,
        evaluation=row.id,
        reason=row.reason,
        release=_intact(releases, row.candidate),
    )


def _evaluation(
    session: Session, use_case: str, slot: str, evaluation: str | None, checkpoint: str | None
) -> EvaluationRow:
    """The newest that is meant and was made for this slot."""
    column, name = (EvaluationRow.id, evaluation) if evaluation else (EvaluationRow.candidate, checkpoint)
    what = f"evaluation '{name}'" if evaluation else f"evaluation of checkpoint '{name}'"
    query = (
        select(EvaluationRow, RunRow)
        .join(RunRow)
        .where(col(column).startswith(name or "", autoescape=True))
        .order_by(col(EvaluationRow.created_at).desc(), col(EvaluationRow.id))
    )
    found = list(session.exec(query)) if len(name or "") >= SHORTEST_DIGEST else []
    if not found:
        raise PromotionError(
            f"there is no {what}: give at least {SHORTEST_DIGEST} letters of a digest in a report, or play the contest "
            "first (`tournament`)"
        )
    if len({row.id if evaluation else row.candidate for row, _ in found}) > 1:
        raise PromotionError(f"there is more than one {what}: give more letters")
    fitting = [row for row, run in found if (run.use_case, slot_of(row, run)) == (use_case, slot)]
    if not fitting:
        row, run = found[0]
        raise PromotionError(
            f"evaluation {row.id[:12]} was made for {run.use_case} '{slot_of(row, run)}', not for {use_case} '{slot}'"
        )
    return fitting[0]


def slot_of(row: EvaluationRow, run: RunRow) -> str:
    """The slot that a contest was about: what its evidence says, else what its run was asked for."""
    evidence: dict[str, Any] = row.details.get("evidence", {})
    return str(evidence.get("slot", run.config.get("slot", "default")))


def _need_better(row: EvaluationRow) -> None:
    if row.verdict != Verdict.BETTER:
        raise PromotionError(
            f"evaluation {row.id[:12]} found '{row.verdict}', and only 'better' promotes: {row.reason}"
        )


def _need_incumbent(session: Session, row: EvaluationRow, holder: ChampionRow | None) -> None:
    """The candidate was compared with what is in use now: the champion, or the untrained model before there is one."""
    if holder is not None and holder.checkpoint == row.candidate:
        raise PromotionError(
            f"{row.candidate[:12]} is the champion of {holder.use_case} '{holder.slot}' already"
        )
    if holder is None:
        incumbent = session.get_one(CheckpointRow, row.incumbent)
        in_use, fits = "the untrained model", incumbent.kind == "base"
    else:
        in_use, fits = holder.checkpoint[:12], holder.checkpoint == row.incumbent
    if not fits:
        raise PromotionError(
            f"evaluation {row.id[:12]} compared {row.candidate[:12]} with {row.incumbent[:12]}, and {in_use} is in use: "
            "evaluate again (`tournament`)"
        )


def _verified(session: Session, candidate: str) -> list[Release]:
    """The newest first."""
    query = (
        select(ReleaseRow)
        .where(col(ReleaseRow.checkpoint) == candidate)
        .order_by(col(ReleaseRow.created_at).desc(), col(ReleaseRow.sha256))
    )
    rows = list(session.exec(query))
    verified = [row for row in rows if row.release_check == ReleaseCheck.VERIFIED]
    if not verified:
        checks = ", ".join(sorted({f"'{row.release_check}'" for row in rows}))
        has = f"has releases, but they are {checks}" if rows else "was never released"
        raise PromotionError(
            f"{candidate[:12]} {has}: run `release/gguf --param checkpoint={candidate[:12]}` and see what its check says"
        )
    return [Release.model_validate(row.details) for row in verified]


def _intact(releases: list[Release], candidate: str) -> Release:
    for release in releases:
        if is_intact(release):
            return release
    raise PromotionError(
        f"the files of {candidate[:12]}'s verified release are gone or changed: release it again "
        f"(`release/gguf --param checkpoint={candidate[:12]}`)"
    )
