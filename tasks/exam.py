"""A test that a person brings: a model on the lines of a file."""

from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.evaluation import Contest, Evaluation
from core.evaluation.summary import summary
from core.files import write_json
from core.reports.markdown import heading
from core.run import Run
from core.store.registry import record_snapshot
from tasks.evaluate import Played
from tasks.stage import RETRIES, once

VERSION = 1
RESULTS = "results.json"


@task(name="exam", **RETRIES)
def exam(run: Run, given: Snapshot) -> Snapshot:
    """A file's lines as the use case's held-out rows."""
    read = run.use_case.needed_exam()
    stage = run.stage("exam", VERSION, run.config.slot, given.sha256)
    return once(
        run, stage, Snapshot, lambda folder: read(run.config, given, folder / "rows"), record_snapshot
    )


@task(name="results", **RETRIES)
def results(run: Run, played: Played, evaluation: Evaluation, output: str | None = None) -> str:
    """The evaluation as JSON: in the run's folder, in the UI, and where a person asked for it."""
    found = summary(evaluation, Contest.load(Path(played.path)))
    paths = [run.folder / RESULTS, *([Path(output).expanduser()] if output else [])]
    for path in paths:
        write_json(path, found)
    text = f"{heading('Results', 1)}\n\n```json\n{paths[0].read_text()}```\n"
    create_markdown_artifact(text, key="overnight-results", description=str(paths[-1]))
    return str(paths[-1])


@task(name="find", **RETRIES)
def start_of(run: Run, model: Checkpoint) -> Checkpoint:
    """What a model is held against: the base that its adapter lies on, else the untrained model of the settings."""
    from core.language.model import base_checkpoint  # noqa: PLC0415  (torch)

    return base_checkpoint(model.base_model if model.kind == "adapter" else run.config.model)
