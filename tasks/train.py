"""One training stage, in a process of its own."""

from pathlib import Path

from prefect import task

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.language.config import model_config
from core.run import Run
from core.store.registry import record_checkpoint
from core.tracking import Tracker
from core.training.config import Method
from core.training.launch import train as train_in_subprocess
from core.training.progress import SECONDS_LEFT, TrainingProgress, in_words
from core.training.spec import TrainingSpec
from core.use_case import Progress
from tasks.stage import RETRIES, once, progress

VERSION = 1


@task(name="train", task_run_name="train-{method}", **RETRIES)
def train(run: Run, method: Method, groups: Snapshot, start: Checkpoint | None = None) -> Checkpoint:
    """Train from the base model, or on from a checkpoint; a killed run goes on from its last save."""
    from core.language.model import base_checkpoint  # noqa: PLC0415  (torch)

    stage = run.stage(
        f"train-{method}",
        VERSION,
        run.settings(method, "adapter"),
        model_config(run.config.model).model_dump(),
        base_checkpoint(run.config.model).sha256,
        groups.sha256,
        start.sha256 if start else None,
    )
    spec = TrainingSpec(
        settings=getattr(run.config, method),
        model=run.config.model,
        adapter=run.config.adapter,
        snapshot=groups,
        start=start,
        folder=str(stage.folder),
    )
    show = progress(f"train-{method}")

    def work(_folder: Path) -> Checkpoint:
        with Tracker(
            run.config.tracking, run.folder, run.id, f"train-{method}", spec.model_dump()
        ) as tracker:
            return train_in_subprocess(spec, on_progress=lambda at: _tell(at, show, tracker))

    return once(run, stage, Checkpoint, work, record_checkpoint)


def _tell(at: TrainingProgress, show: Progress, tracker: Tracker) -> None:
    measured = {name: value for name, value in at.metrics.items() if name != SECONDS_LEFT}
    if measured:
        tracker.log({f"{at.phase}/{name}": value for name, value in measured.items()}, step=at.step)
    show(at.step / at.total_steps if at.total_steps else 0.0, in_words(at))
