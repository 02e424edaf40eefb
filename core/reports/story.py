"""What a run did, read back from the stages that its folder links to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.accounting import Accounting
from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.evaluation import Contest, Evaluation
from core.exporting.results import Release
from core.promotion import Promotion
from core.run import Run, Stage
from core.training.progress import TrainingProgress, read_progress

GATHERED = "gathered.json"
"""In a run's folder: what became of the rows that it brought into the store."""


@dataclass(slots=True)
class Story:
    """The finished stages of a run, by name."""

    seconds: dict[str, float] = field(default_factory=dict)
    """What each stage took when it was done, which may have been in an earlier run."""
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    """By method."""
    curves: dict[str, list[TrainingProgress]] = field(default_factory=dict)
    """By method."""
    contest: Contest | None = None
    evaluation: Evaluation | None = None
    release: Release | None = None
    promotion: Promotion | None = None
    gathered: Accounting | None = None
    """What became of the rows that it brought into the store."""
    failure: str | None = None
    """What ended the run before it was done."""
    ending: str | None = None
    """Why a run that did not fail went no further."""


def read_story(
    run: Run,
    evaluation: Evaluation | None = None,
    promotion: Promotion | None = None,
    failure: str | None = None,
    ending: str | None = None,
) -> Story:
    """Everything the run's stages left behind."""
    story = Story(evaluation=evaluation, promotion=promotion, failure=failure, ending=ending)
    if (gathered := run.folder / GATHERED).is_file():
        story.gathered = Accounting.model_validate_json(gathered.read_text(encoding="utf-8"))
    links = sorted(
        (link for link in run.folder.iterdir() if link.is_symlink()), key=lambda link: link.lstat().st_mtime
    )
    for link in links:
        result = Stage(link.name, link.resolve().name).result()
        if result is not None:
            story.seconds[link.name] = result["seconds"]
            _add(story, link.name, result["record"], link.resolve())
    return story


def _add(story: Story, stage: str, record: dict[str, Any], folder: Path) -> None:
    if stage.startswith("train-"):
        method = stage.removeprefix("train-")
        story.checkpoints[method] = Checkpoint.model_validate(record)
        story.curves[method] = read_progress(folder)
    elif stage == "contest":
        story.contest = Contest.load(Path(record["path"]))
    elif stage.startswith("release"):
        story.release = Release.model_validate(record)
    else:
        story.snapshots[stage] = Snapshot.model_validate(record)
