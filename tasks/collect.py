"""Rows from their source."""

from prefect import task

from core.dataset import Snapshot
from core.run import Run
from core.store.registry import record_snapshot
from tasks.stage import RETRIES, once, progress

VERSION = 1


@task(name="collect", **RETRIES)
def collect(run: Run) -> Snapshot:
    """Collect or simulate what the agents did, as a snapshot."""
    stage = run.stage("collect", VERSION, run.settings(*run.use_case.reads["collect"]))
    return once(
        run,
        stage,
        Snapshot,
        lambda folder: run.use_case.collect(run.config, folder / "rows", progress("collect")),
        record_snapshot,
    )
