"""What apps logged, brought into the store, and what it was worth."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

import core.trajectory_run
from core.accounting import Accounting
from core.errors import ConfigError
from core.files import write_json
from core.reports.gathered import gathered_report, tables_report
from core.reports.rewards import LedgerStory
from core.reports.story import GATHERED
from core.rewarding import moment_of, part_of_night
from core.run import Run
from core.store.registry import finish_run
from core.trajectory_run import TrajectoryRun, trajectories_of
from core.use_case import Progress
from tasks.open import scheduled_moment
from tasks.stage import RETRIES, may_pass_or_free, progress

GATHERED_KEY = "overnight-training-data"
TRAJECTORIES_KEY = "overnight-trajectories"


@task(name="gather", **RETRIES | {"retry_condition_fn": may_pass_or_free})
def gather(run: Run) -> Accounting:
    """Bring what is new or changed at the source into the store; what became of every row."""
    if run.use_case.gather is None:
        raise ConfigError(f"{run.use_case.name} has no rows in the store: nothing is gathered for it")
    gathered = run.use_case.gather(run.config, run.id, progress("gather"))
    write_json(run.folder / GATHERED, gathered.model_dump(mode="json"))
    return gathered


@task(name="report", **RETRIES)
def report_gathered(run: Run, gathered: Accounting) -> str:
    """Show what came in and how much there is to train on, as a file and in the UI; then the run has ended."""
    if run.use_case.statistics is None:
        raise ConfigError(f"{run.use_case.name} has no rows in the store: there is nothing to count")
    report = gathered_report(run.use_case.title, gathered, run.use_case.statistics(run.config))
    path = report.write(run.folder / "report.md")
    create_markdown_artifact(report.text(), key=GATHERED_KEY, description=report.title)
    finish_run(run.id, "completed")
    return str(path)


@task(name="open", **RETRIES)
def open_trajectories(source: str, overrides: dict[str, Any] | None = None) -> TrajectoryRun:
    """Validate where an app keeps its trajectories, before anything is read."""
    return core.trajectory_run.open_trajectories(str(flow_run.get_id()), source, overrides)


@task(name="gather", **RETRIES | {"retry_condition_fn": may_pass_or_free})
def gather_trajectories(run: TrajectoryRun) -> dict[str, Accounting]:
    """Bring what is new or changed in an app's tables into the store; what became of every row, table by table."""
    return core.trajectory_run.gather_trajectories(run, progress("gather"))


@task(name="report", **RETRIES)
def report_trajectories(run: TrajectoryRun, gathered: Mapping[str, Accounting]) -> str:
    """Show what came in and how much there is now, as a file and in the UI; then the run has ended."""
    report = tables_report("Trajectories", gathered, trajectories_of(run), "What there is now")
    path = report.write(run.folder / "report.md")
    create_markdown_artifact(report.text(), key=TRAJECTORIES_KEY, description=report.title)
    finish_run(run.id, "completed")
    return str(path)


@task(name="rewards", **RETRIES | {"retry_condition_fn": may_pass_or_free})
def rewards(run: Run) -> LedgerStory:
    """Bring the rewards of the run's source up to what is known now, as a part of this night's."""
    show, night = progress("rewards"), moment_of(scheduled_moment(), datetime.now(UTC)).night
    return part_of_night(run.id, run.use_case, run.config, night, lambda so_far: _tell(so_far, show))


def _tell(so_far: Accounting, show: Progress) -> None:
    show(0.0, f"{so_far.read:,} decisions looked at, {so_far.written:,} rewards new or changed")
