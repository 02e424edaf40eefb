"""The decision agents' own part of a report: what was asked for and left out, and answers that were not what was wanted."""

from collections.abc import Iterator

from core.evaluation import Contest
from core.reports.markdown import bullets, heading, percent, quoted, table
from core.reports.story import Story
from core.use_cases.decision_agents.config import DecisionAgentsConfig


def sections(config: DecisionAgentsConfig, story: Story) -> tuple[str, ...]:
    """Everything only this use case can say about a run."""
    return (*_decisions(config, story), *_errors(story.contest))


def _decisions(config: DecisionAgentsConfig, story: Story) -> Iterator[str]:
    collected = story.snapshots.get("collect")
    if collected is None:
        return
    counts, left_out, unit = collected.counts, collected.skipped, collected.notes.get("unit", "user")
    yield heading(f"Decisions of {config.agent_type}")
    yield (
        f"Read from the source `{config.rows_of}`, rewards of version `{config.rewards.version}`: "
        f"{counts['rows'] + sum(left_out.values()):,} decisions, of which {counts['rows']:,} are asked for "
        f"({counts.get('train', 0):,} of {unit}s that may be trained on, {counts.get('validation', 0):,} of {unit}s by which the best "
        f"checkpoint is chosen, {counts.get('test', 0):,} of {unit}s for the contest)."
    )
    yield bullets(f"{reason}: {count:,}" for reason, count in left_out.items())


def _errors(contest: Contest | None) -> Iterator[str]:
    if contest is None or not contest.samples:
        return
    yield heading("Errors")
    rows = [(name, counts["invalid"], counts["decisions"]) for name, counts in contest.counts.items()]
    yield table(
        ("policy", "answers", "no action at all"),
        [(name, int(asked), percent(invalid / asked)) for name, invalid, asked in rows if asked],
    )
    for policy, samples in contest.samples.items():
        yield heading(f"Of {policy}", 3)
        yield table(
            ("decision", "asked", "answered", "wanted", "kind"),
            [(one.item, *map(quoted, (one.prompt, one.answer, one.wanted)), one.why) for one in samples],
        )
