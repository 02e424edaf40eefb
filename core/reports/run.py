"""The report of one run, whatever the use case: what ran, what it read, what it learnt, what became of it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from core.checkpoint import Checkpoint
from core.evaluation import Verdict
from core.held_out import SPLITS
from core.reports.contest import evaluation_section
from core.reports.figures import Curve, loss_curve, reward_curve
from core.reports.gathered import became_of
from core.reports.markdown import Report, bold, bullets, byte_size, duration, heading, picture, table
from core.reports.release import release_section
from core.reports.story import Story
from core.run import Run
from core.training.progress import TrainingProgress


def run_report(run: Run, story: Story) -> Report:
    """The whole report of a run, the verdict first."""
    report = Report(f"{run.use_case.title}: {_outcome(story)}")
    report.add(*_verdict(story))
    if story.evaluation is not None:
        report.add(*evaluation_section(story.evaluation))
    if story.gathered is not None:
        report.add(heading("What came in"), *became_of(story.gathered))
    report.add(*run.use_case.sections(run.config, story))
    for method, curves in story.curves.items():
        target = run.use_case.loss_targets.get(method)
        report.add(*_training(method, story.checkpoints[method], curves, target))
    if story.release is not None:
        report.add(*release_section(story.release))
    return report.add(
        *_snapshots(story),
        *_checkpoints({each.sha256: each for each in story.checkpoints.values()}.values()),
        *_run(run, story),
    )


def _outcome(story: Story) -> str:
    return f"{_reached(story)}, but the run failed" if story.failure else _reached(story)


def _reached(story: Story) -> str:
    if story.promotion is not None:
        return "promoted" if story.promotion.promoted else f"incumbent kept ({story.promotion.verdict})"
    if story.evaluation is not None:
        return str(story.evaluation.verdict)
    return (story.ending or "").partition(": ")[0] or ", ".join(story.seconds) or "nothing ran"


def _verdict(story: Story) -> Iterable[str]:
    """What ended the run early, and why a better model was not promoted; everything else the verdict itself says."""
    promotion = story.promotion
    if story.failure is not None:
        yield bold(f"Failed: {story.failure}")
    if story.ending is not None:
        yield bold(f"{story.ending[0].upper()}{story.ending[1:]}")
    if promotion is not None and promotion.verdict == Verdict.BETTER and not promotion.promoted:
        yield bold(promotion.reason)


def _training(
    method: str, checkpoint: Checkpoint, curves: Sequence[TrainingProgress], target: float | None
) -> Iterable[str]:
    yield heading(f"Training: {method.upper()}")
    yield bullets(str(sentence) for sentence in checkpoint.notes.get("said", ()))
    if dropped := checkpoint.notes.get("dropped"):
        yield table(("groups left out", "count"), sorted(dropped.items()))
    yield _course(method, curves, target)
    yield table(("held-out figure", "at the start", "of the checkpoint kept"), _looks(checkpoint, curves))


def _course(method: str, curves: Sequence[TrainingProgress], target: float | None) -> str:
    """The picture of what a method raises or lowers: its reward where it has one, else its loss."""
    reward = curve(curves, "train", "reward")
    if not reward.steps:
        held_out = curve(curves, "eval", "loss")
        return picture(loss_curve(curve(curves, "train", "loss"), held_out, target), f"{method}: loss")
    regrets = {name: curve(curves, "eval", f"regret_{name}") for name in ("greedy", "sampled")}
    if any(each.steps for each in regrets.values()):
        return picture(reward_curve(reward, regrets), f"{method}: reward and regret")
    return picture(reward_curve(reward, held_out=curve(curves, "eval", "reward")), f"{method}: reward")


def curve(curves: Sequence[TrainingProgress], phase: str, name: str) -> Curve:
    """One figure of the training's progress, by step."""
    points = [(at.step, at.metrics[name]) for at in curves if at.phase == phase and name in at.metrics]
    return Curve([step for step, _ in points], [value for _, value in points])


def _looks(checkpoint: Checkpoint, curves: Sequence[TrainingProgress]) -> Iterable[Sequence[object]]:
    looks = {at.step: at.metrics for at in curves if at.phase == "eval"}
    if not looks:
        return []
    first = looks[min(looks)]
    best = looks.get(int(checkpoint.notes.get("best_step", max(looks))), looks[max(looks)])
    return [(name, value, best.get(name)) for name, value in first.items()]


def _snapshots(story: Story) -> Iterable[str]:
    if not story.snapshots:
        return
    yield heading("Rows")
    yield table(
        ("snapshot", "rows", *SPLITS, "left out", "sha256"),
        [
            (
                stage,
                snapshot.counts.get("rows"),
                *(snapshot.counts.get(split) for split in SPLITS),
                "; ".join(f"{reason}: {count}" for reason, count in snapshot.skipped.items()) or "none",
                snapshot.sha256[:12],
            )
            for stage, snapshot in story.snapshots.items()
        ],
    )


def _checkpoints(checkpoints: Iterable[Checkpoint]) -> Iterable[str]:
    rows = [_checkpoint_row(checkpoint) for checkpoint in checkpoints]
    if rows:
        yield heading("Checkpoints")
        yield (
            "Each can be the start of a training (`--param start=DIGEST`) or the agent of a tournament "
            "(`--param checkpoint=DIGEST`)."
        )
        yield table(("checkpoint", "digest", "size", "written (UTC)", "started from", "folder"), rows)


def _checkpoint_row(checkpoint: Checkpoint) -> Sequence[object]:
    files = [file for file in Path(checkpoint.path).glob("*") if file.is_file()]
    written = max((file.stat().st_mtime for file in files), default=None)
    return (
        checkpoint.method,
        checkpoint.sha256[:12],
        byte_size(sum(file.stat().st_size for file in files)),
        None if written is None else datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        ", ".join(parent[:12] for parent in checkpoint.parents) or None,
        checkpoint.path,
    )


def _run(run: Run, story: Story) -> Iterable[str]:
    yield heading("What ran")
    yield table(("stage", "time"), [(stage, duration(seconds)) for stage, seconds in story.seconds.items()])
    yield bullets(
        (
            f"run `{run.id}`, preset `{run.preset}`, model `{run.config.model}`",
            f"code `{run.code_revision}`, config `{run.config_digest[:12]}` (`{run.folder / 'config.resolved.json'}`)",
        )
    )
