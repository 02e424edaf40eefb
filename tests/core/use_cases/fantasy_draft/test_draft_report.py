"""The draft's own part of a report: each promise met or not, and figures that can be checked by hand."""

import re

import numpy as np
import pytest

from core.config import load_config
from core.evaluation import Contest, EvaluationSettings, evaluate
from core.reports.story import Story
from core.training.progress import TrainingProgress
from core.use_cases.fantasy_draft.config import FantasyDraftConfig
from core.use_cases.fantasy_draft.report import sections

SYNTHETIC = load_config(FantasyDraftConfig, "fantasy_draft", "default")
POLICIES = ("candidate", "untrained", "greedy VOR", "first of the shortlist")


def at(phase, step, **metrics) -> TrainingProgress:
    return TrainingProgress(phase=phase, step=step, total_steps=20, metrics=metrics, time=0.0)


def lines(story) -> str:
    """The part of the report without its pictures."""
    return re.sub(r"data:image/png;base64,\S+\)", "picture)", "\n\n".join(sections(SYNTHETIC, story)))


def contest_of(rates, **counts) -> Contest:
    """100 leagues of one season: of every 100, a policy wins `rate`, spread so that they never coincide."""
    titles = np.zeros((len(POLICIES), 100))
    for row, rate in enumerate(rates):
        titles[row, np.arange(rate) * (100 // max(rate, 1)) + row] = 1
    return Contest(
        policies=POLICIES,
        items=tuple(f"L{league}" for league in range(100)),
        clusters_I=np.arange(100),
        values={"title": titles},
        counts=counts,
    )


def evaluated(rates):
    settings = EvaluationSettings(primary_metric="title", incumbent="untrained", literal_against="greedy VOR")
    return evaluate(contest_of(rates), settings, {})


def test_training_criteria_are_those_of_the_seed():
    """SFT by the mean of the last ten steps, GRPO by the reward of the checkpoint kept."""
    sft = [at("train", step, loss=5.0) for step in range(10)]
    sft += [at("train", 10 + step, loss=0.44 + 0.01 * step) for step in range(10)]
    grpo = [
        at("eval", 0, reward=100.0, regret_greedy=1.0, regret_sampled=2.0),
        at("eval", 10, reward=125.0, regret_greedy=0.5, regret_sampled=1.0),
        at("eval", 20, reward=150.0, regret_greedy=0.7, regret_sampled=0.5),
    ]
    text = lines(Story(curves={"sft": sft, "grpo": grpo}))
    assert "**met**: SFT loss below 0.5 by the end (mean of the last 10 steps 0.485, on" in text
    assert "**met**: GRPO reward up by more than 20 %" in text
    assert "held-out reward 25.00 % higher at the checkpoint kept, its sampled regret 50.0 % smaller" in text


def test_what_was_not_reached_is_said():
    """A loss of 0.5 is not below it, and 20 % is not more than 20 %."""
    sft = [at("train", step, loss=0.5) for step in range(3)]
    grpo = [
        at("eval", step, reward=reward, regret_greedy=1 - step / 10, regret_sampled=0.0)
        for step, reward in ((0, 100.0), (5, 120.0))
    ]
    text = lines(Story(curves={"sft": sft, "grpo": grpo}))
    assert "**not met**: SFT loss below 0.5 by the end (mean of the last 3 steps 0.500, on" in text
    assert "**not met**: GRPO reward up by more than 20 %" in text


def test_contest_criteria_name_every_promise():
    """Title rate, greedy VOR's own rate, the textbook test, and what training and the shortlist did."""
    text = lines(Story(evaluation=evaluated((40, 5, 11, 8))))
    assert "**met**: title rate above 15 % (40.0 %, 30.2 % to 49.8 %)" in text
    assert "**met**: greedy VOR between 10 and 12 % (11.0 %, 4.8 % to 17.2 %)" in text
    assert re.search(
        r"\*\*met\*\*: ahead of greedy VOR on separate leagues, p below 0\.05 \(.*, p [=<] .*, one season a league\)",
        text,
    )
    assert (
        "**met**: training helped: titles, candidate minus untrained, above zero (+35.0 points, 95 % interval +23.6 to +46.4 points)"
        in text
    )
    assert "**met**: more than the shortlist's order: titles, candidate minus first of the shortlist" in text


def test_a_significant_loss_is_no_promise_kept():
    """Far behind greedy VOR the two-sided p-value is small as well: not met."""
    evaluation = evaluated((2, 5, 33, 40))
    text = lines(Story(evaluation=evaluation))
    assert evaluation.literal.test.p_value < 0.01
    assert "**not met**: title rate above 15 % (2.0 %, 0.0 % to 4.8 %)" in text
    assert "**not met**: greedy VOR between 10 and 12 % (33.0 %, " in text
    assert "**not met**: ahead of greedy VOR on separate leagues, p below 0.05 (chi-squared, p" in text
    assert "**not met**: more than the shortlist's order" in text


def test_nothing_is_promised_about_what_did_not_run():
    """Rows alone: players only."""
    text = lines(Story())
    assert "## Criteria" not in text
    assert "## Confidence" not in text
    assert "## The real season" not in text
    assert text.startswith("## Players")


def test_the_player_table_has_every_position():
    """Counts of the pool, the best player first by name; the source and how its ADP was made are said."""
    text = lines(Story())
    assert "Source `synthetic`; players are fictional" in text
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| (QB|RB|WR|TE|K|DST) ", line)]
    assert [(row[0].strip("| "), row[1]) for row in rows] == [
        ("QB", "32"), ("RB", "72"), ("WR", "80"), ("TE", "28"), ("K", "14"), ("DST", "14"),
    ]  # fmt: skip
    assert all(float(row[3]) < float(row[5].strip(" |")) for row in rows)


def test_confidence_is_shown_for_every_model_that_was_asked():
    """Scripts are not asked; a model that met only forced picks has nothing to show."""
    bins = {f"confidence bin {place:02d}": 10.0 * (place == 12) for place in range(20)}
    counts = {"decisions": 10.0, "confidence": 0.6, "entropy": 0.5, "chance": 0.125, **bins}
    text = lines(
        Story(contest=contest_of((1, 1, 1, 1), candidate=counts, untrained=counts | {"confidence": 0.2}))
    )
    assert "| candidate | 10 | 60.0 % | 12.5 % | 0.5 |" in text
    assert "| untrained | 10 | 20.0 % | 12.5 % | 0.5 |" in text
    assert "| greedy VOR | 10" not in text
    assert "![confidence of the candidate's picks](picture)" in text
    assert "## Confidence" not in lines(Story(contest=contest_of((1, 1, 1, 1), candidate={"decisions": 3.0})))


def test_the_one_real_season_stands_apart():
    """Its own table, n = 1 season, without the sampled candidate."""
    season = {"real season: titles": 0.25, "real season: points": 3.5, "real season: leagues": 12.0}
    text = lines(Story(contest=contest_of((1, 1, 1, 1), candidate=season, untrained=season)))
    assert "## The real season of 2019 (n = 1 season, not part of any test above)" in text
    assert "| candidate | 12 | 25.0 % | 3.5 |" in text


@pytest.mark.parametrize("first", [0.0, -5.0])
def test_a_reward_that_starts_at_nothing_has_no_percentage(first):
    """No division by zero: '–', and not met."""
    grpo = [at("eval", step, reward=first + step, regret_greedy=1.0, regret_sampled=0.0) for step in (0, 5)]
    text = lines(Story(curves={"grpo": grpo}))
    assert "**not met**: GRPO reward up by more than 20 % (held-out reward – higher" in text
