"""The report of a night of several agents: what came in, what it was worth, and what became of each agent's model."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from core.accounting import Accounting
from core.evaluation import Evaluation
from core.record import Record
from core.reports.markdown import Report, bullets, heading, percent, table
from core.reports.rewards import LedgerStory, ledger_sections
from core.run import Run

AGENT_COLUMNS = ("agent", "ended", "candidate", "incumbent", "difference", "interval")
ROW_COLUMNS = ("of", "read", "written", "unchanged", "quarantined", "skipped")


class Part(Record):
    """What became of one slot's part of a run."""

    slot: str
    ended: str
    """'promoted', 'kept', 'not enough data' or 'failed'."""
    reason: str


def night_report(run: Run, gathered: Accounting, worth: LedgerStory, parts: Sequence[Part]) -> Report:
    """The whole night, the agents first, then what became of the decisions that were read, and of their rewards."""
    promoted = sum(part.ended == "promoted" for part in parts)
    report = Report(f"{run.use_case.title}: {promoted} of {len(parts)} models promoted")
    report.add(
        heading("Agents"),
        table(AGENT_COLUMNS, (_agent(part, run.folder / part.slot) for part in parts)),
        bullets(f"{part.slot}: {part.reason}" for part in parts),
    )
    report.add(
        heading("Rows"),
        table(
            ROW_COLUMNS, [("decisions", *_accounted(gathered)), ("rewards", *_accounted(worth.accounting))]
        ),
        *ledger_sections(worth),
    )
    return report.add(
        heading("What ran"),
        bullets(
            (
                f"run `{run.id}`, preset `{run.preset}`, model `{run.config.model}`",
                f"code `{run.code_revision}`, config `{run.config_digest[:12]}`",
                *(f"{part.slot}: `{run.folder / part.slot / 'report.md'}`" for part in parts),
            )
        ),
    )


def _agent(part: Part, folder: Path) -> Sequence[object]:
    """Both policies' means of the primary metric, and the difference with its interval; nothing where none was measured."""
    try:
        evaluation = Evaluation.model_validate_json((folder / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return part.slot, part.ended, None, None, None, None
    settings, primary = evaluation.settings, evaluation.primary
    means = (
        evaluation.estimate(policy, settings.primary_metric)
        for policy in (settings.candidate, settings.incumbent)
    )
    interval = (
        f"{percent(primary.interval.low)} to {percent(primary.interval.high)}" if primary.interval else None
    )
    shown = [percent(one.mean) if one else None for one in means]
    return part.slot, part.ended, *shown, percent(primary.difference), interval


def _accounted(rows: Accounting) -> Iterable[object]:
    return rows.read, rows.written, rows.unchanged, _reasons(rows.quarantined), _reasons(rows.skipped)


def _reasons(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{reason}: {count:,}" for reason, count in counts.items()) or "none"
