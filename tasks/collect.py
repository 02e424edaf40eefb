"""Rows from their source."""

import shutil
from collections.abc import Callable
from pathlib import Path

from prefect import task

from core.dataset import MANIFEST, Snapshot
from core.files import data_folder, file_digest
from core.run import Run
from core.store.registry import record_snapshot
from tasks.stage import RETRIES, once, progress, record_of

VERSION = 1
NAME = "collect"


@task(name=NAME, **RETRIES)
def collect(run: Run) -> Snapshot:
    """Collect or simulate what the agents did, as a snapshot.

    What is read from the store is read every time, and lies in a folder that its own content addresses.
    """
    if run.use_case.stored:
        return _read_again(run)
    stage = run.stage(NAME, VERSION, run.settings(*run.use_case.reads["collect"]))
    return once(
        run,
        stage,
        Snapshot,
        lambda folder: run.use_case.collect(run.config, folder / "rows", progress(NAME)),
        record_snapshot,
    )


def _read_again(run: Run) -> Snapshot:
    aside = data_folder() / "stages" / NAME / f".{run.id}"
    try:
        read = run.use_case.collect(run.config, aside, progress(NAME))
        stage = run.stage(NAME, VERSION, file_digest(aside / MANIFEST))
        return record_of(once(run, stage, Snapshot, lambda folder: _put(aside, read, folder), _remember(run)))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put(aside: Path, read: Snapshot, folder: Path) -> Snapshot:
    shutil.rmtree(folder / "rows", ignore_errors=True)
    aside.rename(folder / "rows")
    return read.model_copy(update={"path": str(folder / "rows")})


def _remember(run: Run) -> Callable[[str, Snapshot], None]:
    """A snapshot of stored rows is known with the rows that it holds."""

    def remember(run_id: str, snapshot: Snapshot) -> None:
        record_snapshot(run_id, snapshot)
        if run.use_case.stored:
            run.use_case.stored(run.config, snapshot)

    return remember
