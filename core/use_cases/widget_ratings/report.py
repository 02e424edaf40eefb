"""The widget ratings' own part of a report: the votes, what was left out, and how near the ceiling the model came."""

from collections.abc import Iterator

from core.evaluation import Contest
from core.held_out import TEST, TRAIN, VALIDATION
from core.reports.markdown import bullets, heading, percent, quoted, table
from core.reports.story import Story
from core.use_cases.widget_ratings.config import BASELINES, MODELS, WidgetRatingsConfig


def sections(config: WidgetRatingsConfig, story: Story) -> tuple[str, ...]:
    """Everything only this use case can say about a run."""
    return (*_votes(config, story), *_preferences(story.contest), *_written(config, story.contest))


def _votes(config: WidgetRatingsConfig, story: Story) -> Iterator[str]:
    rewards = story.snapshots.get("reward")
    if rewards is None:
        return
    counts = rewards.counts
    yield heading("Ratings")
    yield (
        f"Read from the source `{config.rows_of}`: {counts['rows']:,} prompts with answers that are liked or not "
        f"({counts.get(TRAIN, 0):,} to train on, {counts.get(VALIDATION, 0):,} to choose the best checkpoint by, "
        f"{counts.get(TEST, 0):,} for the contest, of other scenarios or questions)."
    )
    yield bullets(f"{reason}: {count:,}" for reason, count in rewards.skipped.items())
    if (made := story.snapshots.get("snapshot-dpo")) is not None:
        yield f"They make {made.notes['pairs']:,} pairs to train on, at most {config.dpo.max_pairs or 'all'} of a prompt."


def _preferences(contest: Contest | None) -> Iterator[str]:
    if contest is None:
        return
    yield heading("Preferences")
    means = {
        metric: dict(zip(contest.policies, values.mean(axis=1), strict=True))
        for metric, values in contest.values.items()
    }
    yield table(
        (
            "policy",
            "prefers the liked answer, by implicit reward",
            "by log-probability",
            "KL to the base on general text",
        ),
        [
            (
                name,
                percent(means["accuracy"][name]),
                percent(means["logprob_accuracy"][name]),
                contest.counts.get(name, {}).get("general_kl"),
            )
            for name in contest.policies
        ],
    )
    yield from _way_to_the_ceiling(means["logprob_accuracy"])


def _way_to_the_ceiling(accuracies: dict[str, float]) -> Iterator[str]:
    """How much of what could be learnt was."""
    ceiling, base, ours = (accuracies.get(name) for name in (BASELINES[0], MODELS[2], MODELS[0]))
    if ceiling is not None and base is not None and ours is not None and ceiling > base:
        yield (
            f"A judge who knows the simulated raters' taste prefers the liked answer in {percent(ceiling)}: of the way there from the "
            f"untrained model the candidate has gone {percent((ours - base) / (ceiling - base))}."
        )


def _written(config: WidgetRatingsConfig, contest: Contest | None) -> Iterator[str]:
    """What the models write by themselves, which no preference among given answers tells."""
    counts = {name: found for name, found in contest.counts.items() if "rated" in found} if contest else {}
    if contest is None or not counts:
        return
    yield heading("Written by themselves")
    yield (
        "The likeliest answer to held-out prompts: whether the dashboard has it (of what it has not, the verdict allows "
        f"{percent(config.evaluation.invalid_rate_limit)}), and, where people rated that very answer there, how often they like it."
    )
    yield table(
        ("policy", "prompts", "the dashboard has it", "rated there", "of those liked"),
        [
            (
                name,
                int(found["decisions"]),
                percent(1 - found["invalid"] / found["decisions"]),
                int(found["rated"]),
                percent(found["liked"] / found["rated"]) if found["rated"] else None,
            )
            for name, found in counts.items()
        ],
    )
    for policy, samples in contest.samples.items():
        if samples:
            yield heading(f"Not wanted of {policy}", 3)
            yield table(
                ("prompt", "wrote", "liked there", "why"),
                [(one.item, quoted(one.answer), quoted(one.wanted), one.why) for one in samples],
            )
