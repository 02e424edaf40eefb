"""One training stage, in a process of its own."""

from prefect import task

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.language.config import model_config
from core.run import Run
from core.store.registry import record_checkpoint
from core.training.config import Method
from core.training.launch import train as train_in_subprocess
from core.training.progress import TrainingProgress
from core.training.spec import TrainingSpec
from core.use_case import Progress
from tasks.stage import RETRIES, once, progress

VERSION = 1


@task(name="train", task_run_name="train-{method}", **RETRIES)
def train(run: Run, method: Method, groups: Snapshot, start: Checkpoint | None = None) -> Checkpoint:
    """Train from the base model, or on from a checkpoint; a killed run goes on from its last save."""
    model = model_config(run.config.model)
    stage = run.stage(
        f"train-{method}",
        VERSION,
        run.settings(method, "adapter"),
        model.model_dump(),
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
    return once(
        run,
        stage,
        Checkpoint,
        lambda _folder: train_in_subprocess(spec, on_progress=lambda at: _show(at, show)),
        record_checkpoint,
    )


def _show(at: TrainingProgress, show: Progress) -> None:
    figures = ", ".join(f"{name} {value:.3g}" for name, value in sorted(at.metrics.items())[:4])
    words = at.said or f"{at.phase}, step {at.step} of {at.total_steps}" + (f": {figures}" if figures else "")
    show(at.step / at.total_steps if at.total_steps else 0.0, words)
