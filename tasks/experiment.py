"""Two models at once: which one people like better."""

from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

import core.experiment.run
from core.experiment.results import ExperimentAnalysis
from core.experiment.run import ExperimentRun, analyse_ratings
from core.files import write_json
from core.reports.experiment import experiment_report
from core.store.registry import finish_run
from tasks.stage import RETRIES

REPORT_KEY = "overnight-experiment"
RESULTS = "results.json"


@task(name="open", **RETRIES)
def open_experiment(name: str, source: str, file: str | None = None) -> ExperimentRun:
    """Find and validate the experiment, before any work starts."""
    return core.experiment.run.open_experiment(str(flow_run.get_id()), name, source, file)


@task(name="analyse", **RETRIES)
def analyse_experiment(run: ExperimentRun) -> ExperimentAnalysis:
    """Turn all ratings up to now into up-rates, sequences, checks and verdicts."""
    return analyse_ratings(run, datetime.now(UTC))


@task(name="report", **RETRIES)
def report_experiment(run: ExperimentRun, analysis: ExperimentAnalysis) -> str:
    """Write the result as JSON and the report as a file, and show the report in the UI; then the run has ended."""
    write_json(run.folder / RESULTS, analysis.model_dump(mode="json"))
    report = experiment_report(analysis)
    path = report.write(run.folder / "report.md")
    create_markdown_artifact(report.text(), key=REPORT_KEY, description=report.title)
    finish_run(run.id, "completed")
    return str(path)
