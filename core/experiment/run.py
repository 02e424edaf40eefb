"""One execution of an experiment's analysis: which experiment, whose ratings, and what they show now."""

from datetime import datetime
from pathlib import Path

from core.experiment.analysis import analyse
from core.experiment.counts import count_ratings
from core.experiment.results import ExperimentAnalysis
from core.experiment.settings import EXPERIMENTS, ExperimentSettings, load_experiments
from core.files import data_folder, digest, make_folder
from core.record import Record
from core.run import code_revision
from core.store.arms import arm_versions
from core.store.engine import connection
from core.store.migrate import migrate
from core.store.ratings_by_day import rated_days
from core.store.registry import record_run

NO_USE_CASE = "experiment"
"""What stands for the use case of an experiment that names none."""


class ExperimentRun(Record):
    """What is asked: an experiment, and the source of its ratings."""

    id: str
    source: str
    experiment: ExperimentSettings

    @property
    def folder(self) -> Path:
        """Where its report and its result lie."""
        return data_folder() / "runs" / self.id


def open_experiment(run_id: str, name: str, source: str, file: str | None = None) -> ExperimentRun:
    """Find the experiment in its file, and write the run down, before any work.

    Raises: ConfigError, StoreError, StorageError.
    """
    path = Path(file).expanduser() if file else EXPERIMENTS
    run = ExperimentRun(id=run_id, source=source, experiment=load_experiments(path).named(name))
    make_folder(run.folder)
    migrate()
    config = {"source": source, "experiment": run.experiment.model_dump(mode="json")}
    record_run(
        run_id=run_id,
        use_case=run.experiment.use_case or NO_USE_CASE,
        preset=run.experiment.preset,
        config_digest=digest(config),
        code_revision=code_revision(),
        config=config,
    )
    return run


def analyse_ratings(run: ExperimentRun, now: datetime) -> ExperimentAnalysis:
    """What the ratings up to now show, by the models that the arms stand for now.

    Raises: ConfigError where two arms can't be told apart; StoreError.
    """
    experiment = run.experiment
    versions = arm_versions(experiment)
    until = min(now, experiment.until or now)
    with connection() as held:
        counts = count_ratings(rated_days(held, run.source, experiment.since, until), experiment, versions)
    return analyse(experiment, counts, versions, source=run.source, as_of=until)
