"""Training rows: complete, legal, reproducible, and counted."""

from collections import Counter

import pytest

from core.dataset import ScoredGroup
from core.use_cases.fantasy_draft.collection import FORCED, NOT_DRAWN, demonstrations, scenarios
from core.use_cases.fantasy_draft.rules import ROUNDS
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers

PLAYERS = SyntheticPlayers()


def test_demonstrations_are_groups_with_the_teachers_weights():
    """One completion a legal letter, all weight on the teacher's; every decision is a row or counted."""
    found = demonstrations(12, 1, PLAYERS)

    groups = [ScoredGroup(**row) for row in found.rows]
    assert len({group.id for group in groups}) == len(groups)
    assert len(groups) + found.skipped[FORCED] == 12 * ROUNDS
    assert found.skipped[FORCED] > 0
    assert found.skipped[NOT_DRAWN] == 0
    for group in groups:
        assert len(group.completions) > 1
        assert sum(group.weights) == 1 == group.weights[group.metadata["teacher"]]
        assert len(group.metadata["players"]) == len(group.completions)
    assert {group.metadata["seat"] for group in groups} == set(range(1, 13))


def test_soft_labels_are_distributions_that_prefer_the_teachers_choice():
    """With a temperature every legal candidate has a share, the teacher's choice the largest."""
    for row in demonstrations(4, 1, PLAYERS, temperature=0.3).rows:
        assert sum(row["weights"]) == pytest.approx(1, abs=1e-4)
        assert max(row["weights"]) == row["weights"][row["metadata"]["teacher"]]


def test_scenarios_score_every_legal_candidate():
    """Each row carries a reward for each completion; the teacher is near the best, and loses to it at times."""
    found = scenarios(12, 1, PLAYERS, count=40, resamples=2)

    assert len(found.rows) == 40
    assert found.skipped[NOT_DRAWN] + found.skipped[FORCED] == 12 * ROUNDS - 40
    regrets = [
        max(row["rewards"]) - row["rewards"][row["metadata"]["teacher"]]
        for row in found.rows
        if len(row["rewards"]) == len(row["completions"])
    ]
    middling = [max(row["rewards"]) - sum(row["rewards"]) / len(row["rewards"]) for row in found.rows]
    assert len(regrets) == 40
    assert 0 < sum(regrets) < sum(middling)


def test_drawn_decisions_spread_over_rounds_and_leagues():
    """Forty of some 150 decisions are not all of one round or league."""
    rows = demonstrations(12, 1, PLAYERS, count=40).rows

    assert len(Counter(row["metadata"]["round"] for row in rows)) >= 9
    assert len(Counter(row["metadata"]["league"] for row in rows)) >= 9


def test_the_same_inputs_give_the_same_rows_and_other_seeds_give_others():
    """Rows are a function of their arguments; training and scoring never share leagues."""
    rows = scenarios(4, 1, PLAYERS, count=6, resamples=2).rows

    assert rows == scenarios(4, 1, PLAYERS, count=6, resamples=2).rows
    other = scenarios(4, 2, PLAYERS, count=6, resamples=2).rows
    assert not {row["prompt"] for row in rows} & {row["prompt"] for row in other}
    taught = {row["prompt"] for row in demonstrations(4, 1, PLAYERS).rows}
    assert not taught & {row["prompt"] for row in scenarios(4, 1, PLAYERS, reward=None).rows}


def test_unscored_scenarios_are_the_same_rows_without_rewards():
    """What is collected first is what is scored later; the seed's reward scores the same rows otherwise."""
    unscored = scenarios(4, 1, PLAYERS, count=6, reward=None).rows
    dense = scenarios(4, 1, PLAYERS, count=6, reward="seed_dense").rows
    scored = scenarios(4, 1, PLAYERS, count=6, resamples=2).rows

    def bare(rows):
        return [{name: value for name, value in row.items() if name != "rewards"} for row in rows]

    assert unscored == bare(scored) == bare(dense)
    assert all(len(row["rewards"]) == len(row["completions"]) for row in dense)
    assert dense != scored


def test_a_league_is_the_same_in_any_company():
    """The first four leagues of eight give the rows of four."""
    few, many = demonstrations(4, 1, PLAYERS).rows, demonstrations(8, 1, PLAYERS).rows

    assert few == [row for row in many if row["metadata"]["league"] < 4]
