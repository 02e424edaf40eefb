"""The report of a night's rewards, and of a backfill: what was computed, what is different, what was left out."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC

from core.accounting import Accounting
from core.record import Record
from core.reports.distributions import Panel, distributions
from core.reports.markdown import Report, bold, bullets, heading, percent, picture, table
from core.reward_drift import Drift
from core.reward_moments import Stratum
from core.store.ledger_state import Day, ModelCount, StatusCount, Unused, VersionChange

SHOWN = 40
"""Lines of a table of drifts, days or models."""


class NewRows(Record):
    """What became of the rows that were read at a use case's source before its rewards were computed."""

    use_case: str
    accounting: Accounting


class LedgerStory(Record):
    """What one use case's part of a report tells."""

    use_case: str
    version: str
    title: str
    """What this was: a night, or a backfill."""
    accounting: Accounting
    stale_snapshots: int
    strata: Mapping[str, Stratum]
    before: Mapping[str, Stratum] = {}
    drifts: Sequence[Drift] = ()
    counts: Sequence[StatusCount]
    models: Sequence[ModelCount]
    unused: Sequence[Unused]
    changes: Sequence[VersionChange] = ()
    days: Sequence[Day] = ()
    days_after: Sequence[Day] = ()


def ledger_report(
    title: str,
    stories: Sequence[LedgerStory],
    notes: Sequence[str] = (),
    gathered: Sequence[NewRows] = (),
) -> Report:
    """One report over all use cases; `notes` are lines about those of which there is nothing to tell."""
    report = Report(title)
    report.add(bullets(notes))
    for rows in gathered:
        report.add(heading(f"{rows.use_case}: new at the source"))
        report.add(_ends("what became of the rows that were read", rows.accounting))
    for story in stories:
        report.add(*ledger_sections(story))
    return report


def ledger_sections(story: LedgerStory) -> Iterable[str]:
    """One use case's part of a report."""
    yield heading(f"{story.use_case}, rewards {story.version}: {story.title}")
    for part in (_accounting, _days, _counts, _models, _changes, _drifts, _distributions, _unused):
        yield from part(story)


def _accounting(story: LedgerStory) -> Iterable[str]:
    yield _ends("what became of the decisions that were looked at", story.accounting)
    if story.stale_snapshots:
        yield bold(
            f"{story.stale_snapshots} snapshots hold decisions or rewards that are others now: the next run reads them again"
        )


def _ends(what: str, found: Accounting) -> str:
    return table(
        (what, "count"),
        [
            ("read", found.read),
            ("written", found.written),
            ("unchanged", found.unchanged),
            *((f"quarantined: {reason}", count) for reason, count in sorted(found.quarantined.items())),
            *((f"skipped: {reason}", count) for reason, count in sorted(found.skipped.items())),
        ],
    )


def _days(story: LedgerStory) -> Iterable[str]:
    if not story.days:
        return
    still = {day.day: day.lacking for day in story.days_after}
    yield heading("Days that lacked rewards", 3)
    yield table(
        ("day (UTC)", "decisions", "lacked a reward", "lack one still"),
        [(str(day.day), day.decisions, day.lacking, still.get(day.day, 0)) for day in story.days[:SHOWN]],
    )
    if len(story.days) > SHOWN:
        yield f"*and {len(story.days) - SHOWN} days more*"


def _counts(story: LedgerStory) -> Iterable[str]:
    tonight = {agent: stratum.statuses for agent, stratum in story.strata.items()}
    yield heading("The ledger", 3)
    yield table(
        ("agent type", "status", "rewards", "of these now", "mean, normalized"),
        [
            (
                count.agent_type,
                count.status,
                count.count,
                tonight.get(count.agent_type, {}).get(count.status, 0),
                count.mean_normalized,
            )
            for count in story.counts
        ],
    )


def _models(story: LedgerStory) -> Iterable[str]:
    yield heading("By the model that decided", 3)
    yield table(
        ("agent type", "model", "rewards", "confirmed", "corrected or overridden", "mean", "last decision"),
        [
            (
                one.agent_type,
                one.model_version,
                one.decisions,
                percent(one.confirmed / one.decisions),
                percent(one.refused / one.decisions),
                one.mean_total,
                f"{one.last.astimezone(UTC):%Y-%m-%d %H:%M}",
            )
            for one in story.models
        ],
    )


def _changes(story: LedgerStory) -> Iterable[str]:
    if not story.changes:
        return
    yield heading(f"Beside version {story.changes[0].before}", 3)
    yield "Spearman's rank correlation of the totals of decisions that have both; 1 is the same order."
    yield table(
        ("agent type", "decisions", "rank correlation"),
        [(change.agent_type, change.count, change.correlation) for change in story.changes],
    )


def _drifts(story: LedgerStory) -> Iterable[str]:
    yield heading("Drift against the last seven nights", 3)
    if not story.drifts:
        yield "*nothing to hold it against: no rewards now, or no nights before*"
        return
    large = [f"{drift.agent_type} {drift.component}" for drift in story.drifts if drift.large]
    if large:
        yield bold(f"look at {', '.join(large)}")
    yield table(
        (
            "agent type",
            "component",
            "values",
            "before",
            "mean",
            "mean before",
            "shift (sd)",
            "stability index",
        ),
        [
            (
                drift.agent_type,
                drift.component,
                drift.count,
                drift.count_before,
                drift.mean,
                drift.mean_before,
                drift.shift,
                drift.stability,
            )
            for drift in story.drifts[:SHOWN]
        ],
    )


def _distributions(story: LedgerStory) -> Iterable[str]:
    if not story.strata:
        return
    yield heading("Components", 3)
    yield "Shares of the values from -1 to 1: filled those of now, as a line those of the last seven nights."
    for agent, stratum in sorted(story.strata.items()):
        yield f"{bold(agent)}{_missing(stratum)}"
        panels = [
            Panel(
                name, found.bins, before.components[name].bins if before and name in before.components else ()
            )
            for before in (story.before.get(agent),)
            for name, found in stratum.components.items()
        ]
        yield picture(distributions(panels), f"{agent}: {', '.join(stratum.components)}")


def _missing(stratum: Stratum) -> str:
    rewards = sum(stratum.statuses.values())
    words = [
        f"{name} {word} in {percent(count / rewards)}"
        for word, counts in (("awaited", stratum.pending), ("missed", stratum.missed))
        for name, count in counts.items()
    ]
    return f": {', '.join(words)}" if words else ""


def _unused(story: LedgerStory) -> Iterable[str]:
    yield heading("Quarantine", 3)
    yield table(
        ("reason", "decisions", "one of them"),
        [(unused.reason, unused.count, unused.example) for unused in story.unused],
    )
