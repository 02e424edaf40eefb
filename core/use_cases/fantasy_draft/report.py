"""The draft's own part of a report: the promises, the players, the model's confidence, the one real season."""

from collections.abc import Iterator

import numpy as np

from core.evaluation import Contest, Estimate, Evaluation
from core.evaluation.wording import bounds, gap, probability
from core.reports.figures import confidence_histogram
from core.reports.markdown import bullets, criterion, heading, percent, picture, table
from core.reports.story import Story
from core.use_cases.fantasy_draft.baselines import SAMPLED
from core.use_cases.fantasy_draft.config import FantasyDraftConfig
from core.use_cases.fantasy_draft.drafter import CONFIDENCE_BINS
from core.use_cases.fantasy_draft.rules import POOL_SLICES, POSITIONS
from core.use_cases.fantasy_draft.sources import open_source

CANDIDATE, GREEDY = "candidate", "greedy VOR"
TABLE_SEED = 0
SFT_LOSS = 0.5
"""What the seed promises of SFT: the training loss gets below it."""


def sections(config: FantasyDraftConfig, story: Story) -> tuple[str, ...]:
    """Everything only this use case can say about a run."""
    return (
        *_criteria(story),
        *_confidence(story.contest),
        *_real_season(config, story.contest),
        *_players(config),
    )


def _criteria(story: Story) -> Iterator[str]:
    """The seed's own criteria, each as it was promised there, and what training changed."""
    lines = [*_training_criteria(story), *_contest_criteria(story.evaluation)]
    if lines:
        yield heading("Criteria")
        yield bullets(lines)


def _training_criteria(story: Story) -> Iterator[str]:
    if curves := [at for at in story.curves.get("sft", []) if at.phase == "train" and "loss" in at.metrics]:
        last = float(np.mean([at.metrics["loss"] for at in curves[-10:]]))
        yield criterion(
            f"SFT loss below {SFT_LOSS} by the end",
            last < SFT_LOSS,
            f"mean of the last {len(curves[-10:])} steps {last:.3f}, on the teacher's soft labels, whose own entropy is a floor",
        )
    if looks := [at for at in story.curves.get("grpo", []) if at.phase == "eval" and "reward" in at.metrics]:
        first, best = looks[0].metrics, min(looks, key=lambda at: at.metrics["regret_greedy"]).metrics
        gain = best["reward"] / first["reward"] - 1 if first["reward"] > 0 else float("nan")
        regret = 1 - best["regret_sampled"] / first["regret_sampled"] if first["regret_sampled"] > 0 else 0.0
        yield criterion(
            "GRPO reward up by more than 20 %",
            gain > 0.2,
            f"held-out reward {percent(gain, 2)} higher at the checkpoint kept, its sampled regret {percent(regret)} smaller. The "
            "reward is the value of a whole roster, most of which one pick can't change",
        )


def _contest_criteria(evaluation: Evaluation | None) -> Iterator[str]:
    if evaluation is None:
        return
    title = evaluation.estimate(CANDIDATE, "title")
    greedy = evaluation.estimate(GREEDY, "title")
    if title is not None and title.mean is not None:
        yield criterion("title rate above 15 %", title.mean > 0.15, _rate(title))
    if greedy is not None and greedy.mean is not None:
        yield criterion("greedy VOR between 10 and 12 %", 0.10 <= greedy.mean <= 0.12, _rate(greedy))
    if evaluation.literal is not None:
        literal, p_value = evaluation.literal, evaluation.literal.test.p_value
        ahead = literal.wins / literal.trials > literal.other_wins / literal.other_trials
        yield criterion(
            f"ahead of {literal.policy} on separate leagues, p below 0.05",
            ahead and p_value < 0.05,
            f"{literal.test.method}, {probability(p_value)}, one season a league",
        )
    for other, words in (
        ("untrained", "training helped"),
        ("first of the shortlist", "more than the shortlist's order"),
    ):
        for row in evaluation.comparisons:
            if row.policy == other and row.interval is not None:
                yield criterion(
                    f"{words}: titles, candidate minus {other}, above zero",
                    row.interval.low > 0,
                    f"{gap(row.difference, rate=True)}, {bounds(row, rate=True)}",
                )


def _rate(estimate: Estimate) -> str:
    interval = estimate.interval
    return percent(estimate.mean) + (
        f", {percent(interval.low)} to {percent(interval.high)}" if interval else ""
    )


def _confidence(contest: Contest | None) -> Iterator[str]:
    if contest is None:
        return
    counts_of = ((policy, contest.counts.get(policy, {})) for policy in contest.policies)
    asked = {policy: counts for policy, counts in counts_of if "confidence" in counts}
    if not asked:
        return
    yield heading("Confidence of the picks")
    yield "How probable each pick was to the model, among the legal letters; only decisions with a choice are asked."
    if counts := asked.get(CANDIDATE):
        heights = [int(counts[f"confidence bin {place:02d}"]) for place in range(CONFIDENCE_BINS)]
        middles = (np.arange(CONFIDENCE_BINS) + 0.5) / CONFIDENCE_BINS
        png = confidence_histogram(np.repeat(middles, heights).tolist(), counts["chance"])
        yield picture(png, f"confidence of the {CANDIDATE}'s picks")
    yield table(
        ("model", "decisions", "mean confidence", "a guess", "mean entropy, nats"),
        [
            (
                policy,
                int(counts["decisions"]),
                percent(counts["confidence"]),
                percent(counts["chance"]),
                counts["entropy"],
            )
            for policy, counts in asked.items()
        ],
    )


def _real_season(config: FantasyDraftConfig, contest: Contest | None) -> Iterator[str]:
    if contest is None or not any("real season: titles" in counts for counts in contest.counts.values()):
        return
    yield heading(
        f"The real season of {config.players.test_season} (n = 1 season, not part of any test above)"
    )
    yield (
        "The same drafts, played with what the players really scored. All leagues share one season's luck: read it as an "
        "anecdote."
    )
    yield table(
        ("policy", "leagues", "titles", "points a week over the league's mean"),
        [
            (
                policy,
                counts["real season: leagues"],
                percent(counts["real season: titles"]),
                counts["real season: points"],
            )
            for policy, counts in contest.counts.items()
            if "real season: titles" in counts and policy != SAMPLED
        ],
    )


def _players(config: FantasyDraftConfig) -> Iterator[str]:
    source = open_source(config.players, held_out=True)
    pool = source.draw(1, np.random.default_rng(TABLE_SEED))
    yield heading("Players")
    yield f"Source `{config.players.source}`; {source.adp_method}."
    yield table(
        ("position", "players", "mean VOR", "mean projection", "top player", "his projection"),
        [
            (
                position,
                where.stop - where.start,
                round(float(pool.vor_L_P[0, where].mean()), 1),
                round(float(pool.projections_L_P[0, where].mean()), 1),
                pool.name(0, where.start),
                round(float(pool.projections_L_P[0, where.start]), 1),
            )
            for position, where in zip(POSITIONS, POOL_SLICES, strict=True)
        ],
    )
