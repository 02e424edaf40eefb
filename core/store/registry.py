"""What runs made, by digest: recorded once, found again by any later run.

Recording the same thing twice changes nothing, save that a snapshot's or a checkpoint's path becomes the
one it was last recorded with (the data folder may have moved).
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.errors import ModelError
from core.evaluation import Evaluation
from core.exporting.results import Published, Release
from core.given_checkpoint import checkpoint_in
from core.store.champions import (
    Champion,
    Decision,
    champion,
    history,
    keep,
    promote,
    record_promotion,
    rollback,
)
from core.store.engine import transaction
from core.store.runs import close_lost_runs, finish_run, record_run
from core.store.tables import CheckpointRow, EvaluationRow, ReleaseRow, SnapshotRow, StoredRow

__all__ = [
    "Champion",
    "Decision",
    "champion",
    "close_lost_runs",
    "find_checkpoint",
    "finish_run",
    "history",
    "keep",
    "lineage",
    "promote",
    "record_checkpoint",
    "record_evaluation",
    "record_promotion",
    "record_release",
    "record_run",
    "record_snapshot",
    "released",
    "rollback",
]

SHORTEST_DIGEST = 6


def record_snapshot(run_id: str, snapshot: Snapshot) -> None:
    """Remember a set of rows as they were just read or made: stale as long as one that they were made of is.

    Raises: RecordError for a run that was never recorded, StoreError.
    """
    with transaction() as session:
        _latest_path(session, SnapshotRow, run_id=run_id, **_plain(snapshot))
        parent = aliased(SnapshotRow)
        since = select(func.min(parent.stale_since)).where(col(parent.sha256).in_(snapshot.parents))
        session.execute(
            update(SnapshotRow)
            .where(col(SnapshotRow.sha256) == snapshot.sha256)
            .values(stale_since=since.scalar_subquery())
        )


def record_checkpoint(run_id: str | None, checkpoint: Checkpoint) -> None:
    """Remember trained weights; without a run when a person brought them.

    Raises: as `record_snapshot`.
    """
    with transaction() as session:
        _latest_path(session, CheckpointRow, run_id=run_id, **_plain(checkpoint))


def record_evaluation(run_id: str, evaluation: Evaluation, entrants: Mapping[str, Checkpoint]) -> None:
    """Remember a contest's numbers, and the checkpoints behind its trained policies, by their name in it.

    Raises: as `record_snapshot`.
    """
    settings = evaluation.settings
    with transaction() as session:
        for entrant in entrants.values():
            _latest_path(session, CheckpointRow, run_id=run_id, **_plain(entrant))
        _once(
            session,
            EvaluationRow,
            id=evaluation.id,
            verdict=evaluation.verdict,
            reason=evaluation.reason,
            candidate=entrants[settings.candidate].sha256,
            incumbent=entrants[settings.incumbent].sha256,
            entrants={name: entrant.sha256 for name, entrant in entrants.items()},
            details=json.loads(evaluation.model_dump_json()),  # infinity as null: jsonb has none
            run_id=run_id,
        )


def record_release(run_id: str, release: Release, checkpoint: str) -> None:
    """Remember a checkpoint (its digest) as it would be served. Raises: as `record_snapshot`."""
    with transaction() as session:
        _once(
            session,
            ReleaseRow,
            sha256=release.sha256,
            checkpoint=checkpoint,
            release_check=release.check,
            details=json.loads(release.model_dump_json()),
            run_id=run_id,
        )


def released(sha256: str | None) -> tuple[Published, ...]:
    """What a release published, by its digest; nothing where there is none. Raises: StoreError."""
    if sha256 is None:
        return ()
    with transaction() as session:
        row = session.get(ReleaseRow, sha256)
    return tuple(Published.model_validate(made) for made in row.details["published"]) if row else ()


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint of that digest, its first letters, or that folder (which is recorded then).

    Raises: ModelError when there is none or more than one, or when its files are gone; StoreError.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        checkpoint = checkpoint_in(folder)
        record_checkpoint(None, checkpoint)
        return checkpoint
    checkpoint = _checkpoint(_by_prefix(name))
    if not Path(checkpoint.path).is_dir():
        raise ModelError(
            f"checkpoint {checkpoint.sha256[:12]} lay in {checkpoint.path} and is gone: train it again"
        )
    return checkpoint


def lineage(sha256: str) -> list[Checkpoint | Snapshot]:
    """A checkpoint and everything recorded that it grew from, nearest first. Raises: StoreError."""
    line: list[Checkpoint | Snapshot] = []
    seen: set[str] = set()
    wanted = [sha256]
    with transaction() as session:
        while wanted:
            seen.update(wanted)
            found: list[Checkpoint | Snapshot] = [
                *_checkpoints(session, wanted),
                *_snapshots(session, wanted),
            ]
            line += found
            parents = dict.fromkeys(parent for one in found for parent in one.parents)
            wanted = [parent for parent in parents if parent not in seen]
    return line


def _checkpoints(session: Session, digests: Iterable[str]) -> list[Checkpoint]:
    rows = session.exec(select(CheckpointRow).where(col(CheckpointRow.sha256).in_(digests)))
    return sorted((_checkpoint(row) for row in rows), key=lambda one: one.sha256)


def _snapshots(session: Session, digests: Iterable[str]) -> list[Snapshot]:
    rows = session.exec(select(SnapshotRow).where(col(SnapshotRow.sha256).in_(digests)))
    found = (Snapshot(**row.model_dump(include=set(Snapshot.model_fields))) for row in rows)
    return sorted(found, key=lambda one: one.sha256)


def _checkpoint(row: CheckpointRow) -> Checkpoint:
    return Checkpoint.model_validate(row.model_dump(include=set(Checkpoint.model_fields)))


def _by_prefix(name: str) -> CheckpointRow:
    query = select(CheckpointRow).where(col(CheckpointRow.sha256).startswith(name, autoescape=True)).limit(2)
    with transaction() as session:
        rows = list(session.exec(query)) if len(name) >= SHORTEST_DIGEST else []
    if len(rows) != 1:
        raise ModelError(
            f"'{name}' is {'more than one checkpoint' if rows else 'no checkpoint'}: give the digest from a report "
            f"(at least {SHORTEST_DIGEST} letters), or a folder with weights"
        )
    return rows[0]


def _plain(record: Checkpoint | Snapshot) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _once(session: Session, table: type[StoredRow], **values: Any) -> None:
    session.exec(insert(table).values(**values).on_conflict_do_nothing())


def _latest_path(
    session: Session, table: type[SnapshotRow] | type[CheckpointRow], path: str, **values: Any
) -> None:
    statement = insert(table).values(path=path, **values)
    moved = statement.on_conflict_do_update(
        index_elements=["sha256"], set_={"path": path}, where=col(table.path) != path
    )
    session.exec(moved)
