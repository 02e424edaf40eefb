"""What each completion was worth."""

from prefect import task

from core.dataset import Snapshot
from core.run import Run
from core.store.registry import record_snapshot
from tasks.collect import collect
from tasks.stage import RETRIES, once, progress

VERSION = 1


@task(name="reward", **RETRIES)
def reward(run: Run, rows: Snapshot) -> Snapshot:
    """Score every completion of every row."""
    stage = run.stage("reward", VERSION, run.settings(*run.use_case.reads["reward"]), rows.sha256)
    return once(
        run,
        stage,
        Snapshot,
        lambda folder: run.use_case.reward(run.config, rows, folder / "rows", progress("reward")),
        record_snapshot,
    )


def contest_rows(run: Run) -> Snapshot | None:
    """The rewards whose held-out rows a contest is about, where rows are stored; other contests make their own items."""
    return reward(run, collect(run)) if run.use_case.stored else None
