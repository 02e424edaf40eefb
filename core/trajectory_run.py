"""One execution of collecting an app's trajectories: where they are, and what became of the rows of each table."""

from enum import StrEnum
from pathlib import Path
from typing import Any

from core.accounting import Accounting
from core.config import load_config, presets
from core.files import data_folder, digest, make_folder
from core.record import Record
from core.run import code_revision
from core.store.foreign.settings import TrajectorySettings
from core.store.foreign.trajectories import TABLES, import_table
from core.store.migrate import migrate
from core.store.registry import record_run
from core.store.trajectory_statistics import TrajectoryStatistics, trajectory_statistics
from core.use_case import Progress

FOLDER = "trajectories"
"""Of configs/; it stands for the use case of a run that has none."""


class TrajectorySource(StrEnum):
    """An app: a file in the folder of settings."""

    vars().update({name: name for name in presets(FOLDER)})


class TrajectoryRun(Record):
    """What is asked: an app's tables."""

    id: str
    settings: TrajectorySettings

    @property
    def folder(self) -> Path:
        """Where its report lies."""
        return data_folder() / "runs" / self.id


def open_trajectories(run_id: str, source: str, overrides: dict[str, Any] | None = None) -> TrajectoryRun:
    """Validate the settings, and write the run down, before any work. Raises: ConfigError, StoreError, StorageError."""
    run = TrajectoryRun(id=run_id, settings=load_config(TrajectorySettings, FOLDER, source, overrides))
    make_folder(run.folder)
    migrate()
    config = run.settings.model_dump(mode="json")
    record_run(
        run_id=run_id,
        use_case=FOLDER,
        preset=source,
        config_digest=digest(config),
        code_revision=code_revision(),
        config=config,
    )
    return run


def gather_trajectories(run: TrajectoryRun, progress: Progress) -> dict[str, Accounting]:
    """Bring what is new or changed in an app's tables into the store; what became of every row, table by table.

    Raises: SourceError, ConfigError, StoreError (and the pages before are kept), BusyError when another run is at it.
    """
    gathered: dict[str, Accounting] = {}
    for place, section in enumerate(run.settings.tables):
        name = TABLES[section].name
        gathered[name] = Accounting()
        for page in import_table(run.settings, section, run_id=run.id):
            gathered[name] += page
            done = gathered[name]
            progress(
                place / len(run.settings.tables),
                f"{name}: {done.read:,} rows read, {done.written:,} new or changed",
            )
    progress(1.0, f"{sum(done.written for done in gathered.values()):,} rows new or changed")
    return gathered


def trajectories_of(run: TrajectoryRun) -> TrajectoryStatistics:
    """How many there are of the app now. Raises: StoreError."""
    return trajectory_statistics(run.settings.source.name)
