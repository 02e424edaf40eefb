"""What every stage's task has in common: done once, retried only for passing reasons, seen while it works."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.states import Completed
from prefect.tasks import Task, exponential_backoff
from pydantic import ValidationError

from core.errors import BusyError, InterruptedTraining, ServiceError, SourceError, StoreError
from core.record import Record
from core.run import Run, Stage
from core.use_case import Progress

PASSING = (StoreError, SourceError, ServiceError, InterruptedTraining)
"""Errors that may be gone a moment later; all others fail at once."""

AnyRecord = TypeVar("AnyRecord", bound=Record)


def may_pass(_task: Task[Any, Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed attempt deserves another."""
    return isinstance(state.data, PASSING)


def may_pass_or_free(task: Task[Any, Any], task_run: TaskRun, state: State[Any]) -> bool:
    """The same, where what another run holds is worth waiting for."""
    return isinstance(state.data, BusyError) or may_pass(task, task_run, state)


RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": may_pass,
    "persist_result": False,
}


def once(
    run: Run,
    stage: Stage,
    kind: type[AnyRecord],
    work: Callable[[Path], AnyRecord],
    remember: Callable[[str, AnyRecord], object],
    *,
    intact: Callable[[AnyRecord], bool] = lambda _record: True,
) -> Any:
    """Do a stage's work, or find it done by an earlier run: the task then ends as 'Cached'.

    `remember` writes the record into the store; writing the same record twice changes nothing there. `intact` says
    whether what an earlier run left outside the stage's folder is still there.
    """
    with stage.locked() as folder:
        run.link(stage)
        if (found := _found(stage, kind)) is not None and intact(found):
            remember(run.id, found)
            return Completed(name="Cached", message=f"done before: {folder}", data=found)
        started = time.monotonic()
        record = work(folder)
        remember(run.id, record)
        stage.finish({"record": record.model_dump(mode="json"), "seconds": time.monotonic() - started})
    return record


def _found(stage: Stage, kind: type[AnyRecord]) -> AnyRecord | None:
    """What an earlier run left; a record written before its fields changed is done again."""
    result = stage.result()
    try:
        return None if result is None else kind.model_validate(result["record"])
    except ValidationError:
        return None


def record_of(done: AnyRecord) -> AnyRecord:
    """What a stage's task gave, for a flow to return: a stage found done comes back as its state.

    Between tasks Prefect resolves states by itself.
    """
    return done.result() if isinstance(done, State) else done


def progress(key: str) -> Progress:
    """A progress bar in the UI, moved at most once a second, with the words in the log."""
    shown: dict[str, Any] = {"id": None, "at": 0.0, "logged": 0.0}
    logger = get_run_logger()

    def show(done: float, words: str) -> None:
        now = time.monotonic()
        if now - shown["at"] < 1 and done < 1:
            return
        shown["at"] = now
        if shown["id"] is None:
            shown["id"] = create_progress_artifact(progress=0.0, key=key, description=words)
        update_progress_artifact(
            artifact_id=_uuid(shown["id"]), progress=min(done, 1.0) * 100, description=words
        )
        if now - shown["logged"] > 10 or done >= 1:
            shown["logged"] = now
            logger.log(logging.INFO, "%3.0f %% %s", done * 100, words)

    return show


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
