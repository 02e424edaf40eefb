"""The report of what came in from where decisions are logged, and of how much there is to train on now."""

from core.accounting import Accounting
from core.reports.markdown import Report, bullets, heading, table
from core.use_case import Statistics

EXPLAINED = {
    "older_copy": "a newer version of the same id is there",
    "oversize": "too large to be fetched",
    "clock_skew": "made in the future: a clock is wrong",
    "nul_char": "holds the character U+0000, which PostgreSQL can't",
    "bad_unicode": "holds half a surrogate pair, or bytes that are no UTF-8",
    "non_finite": "holds NaN, infinity, or a number beyond a double's range",
}
"""What a reason means, where its word does not say it."""


def gathered_report(title: str, rows: Accounting, found: Statistics) -> Report:
    """What became of every row that was read, and what there is now."""
    source = found.source
    report = Report(f"{title}: {rows.written:,} of {rows.read:,} rows from '{source}' are new or changed")
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
        found.sentence,
        table(found.columns, found.lines()),
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
