"""The reward ledger, kept for every use case whose rows lie in the store."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

import core.rewarding
from core.accounting import Accounting
from core.reports.rewards import LedgerStory, NewRows, ledger_report
from core.rewarding import Moment, RewardRun, backfill_story, gather_new, moment_of, night_story
from core.store.registry import finish_run
from core.use_cases import USE_CASES, use_case_named
from tasks.open import scheduled_moment
from tasks.stage import RETRIES, progress

REPORT_KEY = "overnight-rewards"


@task(name="open", **RETRIES)
def open_rewards(preset: str) -> RewardRun:
    """Validate the settings of every use case with stored rows, before any work starts."""
    return core.rewarding.open_rewards(str(flow_run.get_id()), USE_CASES, preset)


@task(name="moment", **RETRIES)
def this_night() -> Moment:
    """Which night this run stands for: the scheduled one, however late it starts, or now."""
    return moment_of(scheduled_moment(), datetime.now(UTC))


@task(name="gather", task_run_name="gather-{use_case}", **RETRIES)
def gather_night(run: RewardRun, use_case: str, moment: Moment) -> NewRows | str:
    """Bring in what is new at an app; words where it can't be read now."""
    told = progress(f"gather-{use_case.replace('_', '-')}")
    return gather_new(run, use_case_named(use_case), moment, told)


@task(name="rewards", task_run_name="rewards-{use_case}", **RETRIES)
def compute_night(run: RewardRun, use_case: str, moment: Moment) -> LedgerStory | str:
    """Compute what is new, changed or due; words where another run did it or is at it."""
    told = _Told(use_case)
    return told.ended(night_story(run, use_case, moment, told))


@task(name="rewards", task_run_name="rewards-{use_case}", **RETRIES)
def compute_days(run: RewardRun, use_case: str, since: date | None, until: date | None) -> LedgerStory | str:
    """Compute what days of a range lack; words where another run is at it."""
    told = _Told(use_case)
    return told.ended(backfill_story(run, use_case, since, until, datetime.now(UTC), told=told))


@task(name="report", **RETRIES)
def report_rewards(
    run: RewardRun,
    title: str,
    told: Sequence[LedgerStory | str],
    gathered: Sequence[NewRows | str] = (),
) -> str:
    """Write the report as a file and show the same in the UI; then the run has ended."""
    stories = [one for one in told if isinstance(one, LedgerStory)]
    rows = [one for one in gathered if isinstance(one, NewRows)]
    notes = [one for one in (*gathered, *told) if isinstance(one, str)]
    report = ledger_report(title, stories, notes, rows)
    path = report.write(run.folder / "report.md")
    create_markdown_artifact(report.text(), key=REPORT_KEY, description=title)
    finish_run(run.id, "completed")
    return str(path)


class _Told:
    """The progress of one ledger: how much there is to do shows only at its end."""

    def __init__(self, use_case: str) -> None:
        self._show = progress(f"rewards-{use_case.replace('_', '-')}")

    def __call__(self, so_far: Accounting) -> None:
        self._show(0.0, _words(so_far))

    def ended(self, story: LedgerStory | str) -> LedgerStory | str:
        self._show(1.0, story if isinstance(story, str) else _words(story.accounting))
        return story


def _words(accounting: Accounting) -> str:
    return f"{accounting.read:,} decisions read, {accounting.written:,} rewards written"
