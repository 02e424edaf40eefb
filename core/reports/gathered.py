"""The report of what came in from where an app logs, and of how much there is now."""

from collections.abc import Mapping

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
    "unfinished": "has no end yet, and is read again for some days",
    "end_before_start": "ended before it began",
    "bad_steps": "a step, or a part of one, is not what its name says",
    "not_one_market": "names both a ticker and a question, or neither",
}
"""What a reason means, where its word does not say it."""


def gathered_report(title: str, rows: Accounting, found: Statistics) -> Report:
    """What became of every row that was read, and what there is now."""
    return tables_report(title, {"the rows": rows}, found, "What there is to train on")


def tables_report(title: str, rows: Mapping[str, Accounting], found: Statistics, there_is: str) -> Report:
    """The same of several tables of an app, by what their rows are called."""
    total, source = sum(rows.values(), Accounting()), found.source
    report = Report(f"{title}: {total.written:,} of {total.read:,} rows from '{source}' are new or changed")
    for name, ends in rows.items():
        report.add(heading(f"What became of {name}"), table(("end", "rows"), _ends(ends)))
    report.add(*_explained(total), f"They lie under the source `{source}`." if total.quarantined else "")
    return report.add(heading(there_is), found.sentence, table(found.columns, found.lines()))


def became_of(rows: Accounting) -> tuple[str, ...]:
    """What became of every row that was read."""
    return table(("end", "rows"), _ends(rows)), *_explained(rows)


def _explained(rows: Accounting) -> tuple[str, ...]:
    return (
        bullets(f"{reason}: {EXPLAINED[reason]}" for reason in rows.quarantined if reason in EXPLAINED),
        "Quarantined rows are kept as they came in `overnight.quarantine`." if rows.quarantined else "",
    )


def _ends(rows: Accounting) -> list[tuple[str, int]]:
    return [
        ("read", rows.read),
        ("written", rows.written),
        ("unchanged", rows.unchanged),
        *((f"quarantined: {reason}", count) for reason, count in sorted(rows.quarantined.items())),
        *((f"skipped: {reason}", count) for reason, count in sorted(rows.skipped.items())),
    ]
