"""The rows one method trains on, fixed."""

from prefect import task

from core.dataset import Snapshot
from core.run import Run
from core.store.registry import record_snapshot
from core.training.config import Method
from tasks.stage import RETRIES, once

VERSION = 1


@task(name="snapshot", task_run_name="snapshot-{method}", **RETRIES)
def snapshot(run: Run, method: Method, rewards: Snapshot) -> Snapshot:
    """Choose and split the scored groups for a method; the same inputs give byte-identical files."""
    settings = run.settings(*run.use_case.reads[f"groups-{method}"])
    stage = run.stage(f"snapshot-{method}", VERSION, settings, rewards.sha256)
    return once(
        run,
        stage,
        Snapshot,
        lambda folder: run.use_case.groups(run.config, method, rewards, folder / "rows"),
        record_snapshot,
    )
