"""What a person reads in the morning."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_markdown_artifact

from core.accounting import Accounting
from core.evaluation import Evaluation
from core.files import write_json
from core.promotion import Promotion
from core.reports.night import Part, night_report
from core.reports.rewards import LedgerStory
from core.reports.run import run_report
from core.reports.story import read_story
from core.run import Run
from core.store.registry import finish_run
from tasks.stage import RETRIES

REPORT_KEY = "overnight-report"


@task(name="report", **RETRIES)
def report(
    run: Run,
    evaluation: Evaluation | None = None,
    promotion: Promotion | None = None,
    failure: str | None = None,
    ending: str | None = None,
) -> str:
    """Write the run's report as a file and show the same in the UI; a part of a run does not end it.

    `failure` is what ended the run before it was done, `ending` why one that did not fail went no further.
    """
    story = read_story(run, evaluation, promotion, failure, ending)
    text = run_report(run, story)
    path = text.write(run.folder / "report.md")
    create_markdown_artifact(
        text.text(), key="-".join(filter(None, (REPORT_KEY, run.part))), description=text.title
    )
    write_json(
        run.folder / "summary.json",
        {
            "verdict": str(evaluation.verdict) if evaluation else None,
            "promoted": promotion.promoted if promotion else None,
            "reason": failure or ending or _reason(evaluation, promotion) or text.title,
            "report": str(path),
            "candidate": promotion.candidate if promotion else None,
            "seconds": story.seconds,
        },
    )
    if not run.part:
        finish_run(run.id, "failed" if failure else "completed")
    return str(path)


def _reason(evaluation: Evaluation | None, promotion: Promotion | None) -> str | None:
    said = promotion or evaluation
    return said.reason if said else None


@task(name="report", **RETRIES)
def report_night(run: Run, gathered: Accounting, worth: LedgerStory, parts: Sequence[Part]) -> str:
    """Write what became of the decisions, of their rewards and of every agent as a file and show the same in the UI."""
    text = night_report(run, gathered, worth, parts)
    path = text.write(run.folder / "report.md")
    create_markdown_artifact(text.text(), key=REPORT_KEY, description=text.title)
    failed = any(part.ended == "failed" for part in parts)
    write_json(
        run.folder / "summary.json",
        {
            "verdict": None,
            "promoted": any(part.ended == "promoted" for part in parts),
            "reason": text.title,
            "report": str(path),
            "agents": {part.slot: part.model_dump(mode="json") for part in parts},
        },
    )
    finish_run(run.id, "failed" if failed else "completed")
    return str(path)
