"""Runs, from what was asked for to how they ended.

A run that was killed can't say so itself. It leaves the machine and the process it ran in, and whoever opens the
store next on that machine writes its end down.
"""

import os
import socket
from datetime import UTC, datetime
from typing import Any

import psutil
from sqlalchemy import or_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select, update

from core.errors import RecordError
from core.process import find_process
from core.store.engine import transaction
from core.store.server import given_url
from core.store.tables import RunRow

RUNNING, CRASHED = "running", "crashed"


def record_run(
    *, run_id: str, use_case: str, preset: str, config_digest: str, code_revision: str, config: dict[str, Any]
) -> None:
    """Write down what was asked for, before any work; a run that crashed and is taken up again goes on.

    Raises: StoreError, ConfigError when the database turns this user away.
    """
    here = _this_process() | {"status": RUNNING, "finished_at": None}
    asked = {
        "use_case": use_case,
        "preset": preset,
        "config_digest": config_digest,
        "code_revision": code_revision,
        "config": config,
    }
    statement = insert(RunRow).values(id=run_id, **asked, **here)
    again = statement.on_conflict_do_update(index_elements=["id"], set_=here)
    with transaction() as session:
        _close_lost(session)
        session.exec(again)


def finish_run(run_id: str, status: str) -> None:
    """Write down how a run ended; the first end counts, save a crash that others took for one.

    Raises: RecordError for a run that was never recorded, StoreError.
    """
    open_still = or_(col(RunRow.finished_at).is_(None), col(RunRow.status) == CRASHED)
    ended = (
        update(RunRow)
        .where(col(RunRow.id) == run_id, open_still)
        .values(status=status, finished_at=datetime.now(UTC))
    )
    with transaction() as session:
        session.exec(ended)
        if session.get(RunRow, run_id) is None:
            raise RecordError(f"run {run_id} was never recorded: record_run comes first")


def close_lost_runs() -> int:
    """Write down that runs of this machine whose process is gone have crashed; how many there were.

    Raises: StoreError, RecordError when there are no tables yet.
    """
    with transaction() as session:
        return _close_lost(session)


def _close_lost(session: Session) -> int:
    query = select(RunRow.id, RunRow.process, RunRow.process_started).where(col(RunRow.status) == RUNNING)
    if (
        given_url() is not None
    ):  # other machines use it too; the embedded one is this machine's, whatever its name
        query = query.where(col(RunRow.host) == socket.gethostname())
    lost = [run for run, number, started in session.exec(query) if not _lives(number, started)]
    closed = (
        update(RunRow)
        .where(col(RunRow.id).in_(lost), col(RunRow.status) == RUNNING)
        .values(status=CRASHED, finished_at=datetime.now(UTC))
    )
    session.exec(closed)
    return len(lost)


def _lives(number: int | None, started: float | None) -> bool:
    return number is not None and started is not None and find_process(number, started) is not None


def _this_process() -> dict[str, Any]:
    """Where this run's work is done."""
    number = os.getpid()
    return {
        "host": socket.gethostname(),
        "process": number,
        "process_started": psutil.Process(number).create_time(),
    }
