"""The contest, and what it proves."""

from collections.abc import Sequence
from pathlib import Path

from prefect import task

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.evaluation import Contest, Evaluation
from core.evaluation import evaluate as weigh
from core.files import write_json
from core.record import Record
from core.run import Run
from core.store.registry import champion, find_checkpoint, lineage, record_checkpoint, record_evaluation
from core.tracking import Tracker
from tasks.stage import RETRIES, once, progress

VERSION = 2
CANDIDATE, INCUMBENT, UNTRAINED = "candidate", "incumbent", "untrained"


class Played(Record):
    """A contest that was played: who took part, and where its rows lie."""

    entrants: dict[str, Checkpoint]
    """By the name in the contest: 'candidate', 'incumbent', 'untrained', and others by method."""
    path: str
    aa_path: str


@task(name="contest", **RETRIES)
def play(
    run: Run,
    candidate: Checkpoint,
    others: Sequence[Checkpoint] = (),
    incumbent: Checkpoint | None = None,
    rows: Snapshot | None = None,
) -> Played:
    """Let the candidate, the model in use, the untrained model and the baselines face the same held-out items.

    `rows` are the rewards that hold them, for a use case whose rows are stored.
    """
    entrants = _entrants(run, candidate, others, incumbent)
    stage = run.stage(
        "contest",
        VERSION,
        run.settings(*run.use_case.reads["contest"]),
        run.config.evaluation.stopping,
        {name: entrant.sha256 for name, entrant in entrants.items()},
        *([rows.sha256] if rows and run.use_case.stored else []),
    )

    def work(folder: Path) -> Played:
        contest, aa = run.use_case.contest(run.config, rows, entrants, progress("contest"))
        contest.save(folder / "contest")
        aa.save(folder / "aa")
        return Played(entrants=entrants, path=str(folder / "contest"), aa_path=str(folder / "aa"))

    return once(run, stage, Played, work, _remember)


def _entrants(
    run: Run, candidate: Checkpoint, others: Sequence[Checkpoint], incumbent: Checkpoint | None
) -> dict[str, Checkpoint]:
    from core.language.model import base_checkpoint  # noqa: PLC0415  (torch)

    untrained = base_checkpoint(run.config.model)
    holder = champion(run.use_case.name, run.config.slot)
    in_use = incumbent or (find_checkpoint(holder.checkpoint) if holder else untrained)
    entrants = {CANDIDATE: candidate, INCUMBENT: in_use, UNTRAINED: untrained}
    return entrants | {f"{other.method} only": other for other in others}


def _remember(run_id: str, played: Played) -> None:
    for entrant in played.entrants.values():
        record_checkpoint(run_id, entrant)


@task(name="evaluate", **RETRIES)
def evaluate(run: Run, played: Played) -> Evaluation:
    """Turn the contest's rows into intervals, tests and one verdict."""
    contest = Contest.load(Path(played.path))
    aa = Contest.load(Path(played.aa_path))
    evaluation = weigh(contest, run.config.evaluation, _evidence(run, played), aa=aa)
    record_evaluation(run.id, evaluation, played.entrants)
    write_json(run.folder / "evaluation.json", evaluation.model_dump(mode="json"))
    with Tracker(run.config.tracking, run.folder, run.id, "evaluate", {"preset": run.preset}) as tracker:
        tracker.summary({f"{e.policy}/{e.metric}": e.mean for e in evaluation.estimates})
        tracker.summary({"verdict": evaluation.verdict, "reason": evaluation.reason})
    return evaluation


def _evidence(run: Run, played: Played) -> dict[str, str]:
    """The slot it is about; digests of the config, the code, each model that played, and the candidate's snapshots."""
    names: dict[str, list[str]] = {}
    for name, entrant in played.entrants.items():
        names.setdefault(entrant.sha256, []).append(name)
    snapshots: dict[str, list[str]] = {}
    for one in lineage(played.entrants[CANDIDATE].sha256):
        if isinstance(one, Snapshot):
            snapshots.setdefault(one.kind, []).append(one.sha256)
    return {
        "slot": run.config.slot,
        "config": run.config_digest,
        "code": run.code_revision,
        **{f"model: {', '.join(called)}": sha256 for sha256, called in names.items()},
        **{f"snapshot: {kind}": ", ".join(digests) for kind, digests in snapshots.items()},
    }
