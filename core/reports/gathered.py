"""The report of what came in from where decisions are logged, and of how much there is to train on now."""

from core.accounting import Accounting
from core.reports.markdown import Report, bullets, heading, table
from core.store.training_statistics import AgentStatistics, TrainingStatistics

EXPLAINED = {
    "older_copy": "a newer version of the same id is there",
    "oversize": "too large to be fetched",
    "clock_skew": "made in the future: a clock is wrong",
    "nul_char": "holds the character U+0000, which PostgreSQL can't",
    "bad_unicode": "holds half a surrogate pair, or bytes that are no UTF-8",
    "non_finite": "holds NaN, infinity, or a number beyond a double's range",
}
"""What a reason means, where its word does not say it."""

COLUMNS = tuple(name.replace("_", " ") for name in AgentStatistics.model_fields)


def gathered_report(title: str, rows: Accounting, found: TrainingStatistics) -> Report:
    """What became of every row that was read, and every agent type's decisions and rewards."""
    source = found.source
    ready = [each.agent_type.lower() for each in found.agents if each.ready]
    report = Report(
        f"{title}: {rows.written:,} of {rows.read:,} decisions from '{source}' are new or changed"
    )
    report.add(
        heading("What became of the rows"),
        table(("end", "rows"), _ends(rows)),
        bullets(f"{reason}: {EXPLAINED[reason]}" for reason in rows.quarantined if reason in EXPLAINED),
        f"Quarantined rows lie in `overnight.quarantine`, as they came, under the source `{source}`."
        if rows.quarantined
        else "",
    )
    report.add(
        heading("What there is to train on"),
        f"Ready from {found.minimum:,} final rewards on: {', '.join(ready) or 'none'}.",
        table(COLUMNS, map(_line, found.agents)),
    )
    return report


def _ends(rows: Accounting) -> list[tuple[str, int]]:
    return [
        ("read", rows.read),
        ("written", rows.written),
        ("unchanged", rows.unchanged),
        *((f"quarantined: {reason}", count) for reason, count in sorted(rows.quarantined.items())),
        *((f"skipped: {reason}", count) for reason, count in sorted(rows.skipped.items())),
    ]


def _line(agent: AgentStatistics) -> tuple[object, ...]:
    return tuple(agent.model_dump(mode="json").values())
