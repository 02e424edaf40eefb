"""Tournaments: the same whatever the chunk, the company or the number of leagues."""

from itertools import pairwise

import numpy as np
import pytest

from core.use_cases.fantasy_draft.draft import Draft, OpponentField
from core.use_cases.fantasy_draft.league import Purpose, Tournament, blocks_of, generator, join, play
from core.use_cases.fantasy_draft.policies import greedy_vor, noisy, random_legal, vona, vor_with_needs
from core.use_cases.fantasy_draft.rules import POSITION_OF, TEAMS
from core.use_cases.fantasy_draft.shortlist import first_of_shortlist
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers

PLAYERS = SyntheticPlayers()
RESULTS = ("titles_L_K", "playoffs_L_K", "wins_L_K", "points_above_mean_L_K", "champion_seats_L_K")


def _same(one: Tournament, other: Tournament, leagues=slice(None)) -> bool:
    return bool(np.array_equal(one.picks_L_R[leagues], other.picks_L_R[leagues])) and all(
        np.array_equal(getattr(one.simulated, name)[leagues], getattr(other.simulated, name)[leagues])
        for name in RESULTS
    )


@pytest.mark.parametrize("policy", [vona, random_legal, noisy(vor_with_needs, 0.3), first_of_shortlist])
def test_results_are_bitwise_the_same_for_any_chunk(policy):
    """Dice included: 120 leagues drafted together, or a block at a time."""
    together = play(policy, 120, 1, 11, PLAYERS, chunk=960)

    assert _same(together, play(policy, 120, 1, 11, PLAYERS, chunk=96))


def test_fewer_leagues_are_the_first_of_more():
    """24 leagues are the first 24 of 96: their draws do not shrink with them."""
    few, many = play(vona, 24, 2, 11, PLAYERS), play(vona, 96, 2, 11, PLAYERS)

    assert np.array_equal(few.picks_L_R, many.picks_L_R[:24])
    assert np.array_equal(few.simulated.points_above_mean_L_K, many.simulated.points_above_mean_L_K[:24])


@pytest.mark.parametrize("cuts", [(0, 48, 120), (0, 96, 120), (0, 12, 60, 108, 120)])
def test_leagues_played_in_parts_are_those_played_in_one_go(cuts):
    """Cut within a block or between two: picks, seasons and league numbers are the same to the last bit."""
    policy = noisy(vor_with_needs, 0.3)
    whole = play(policy, 120, 2, 11, PLAYERS)
    parts = join([play(policy, last, 2, 11, PLAYERS, first=first) for first, last in pairwise(cuts)])

    assert _same(parts, whole)
    assert parts.league_ids_L.tolist() == list(range(120))
    assert np.array_equal(parts.seats_L, whole.seats_L)


def test_more_seasons_leave_the_first_ones_alone():
    """Each season has a stream of its own."""
    two, four = play(vona, 24, 2, 11, PLAYERS).simulated, play(vona, 24, 4, 11, PLAYERS).simulated

    assert np.array_equal(two.points_above_mean_L_K, four.points_above_mean_L_K[:, :2])


def test_policies_share_players_opponents_and_luck():
    """A league's result depends on its own picks alone, so two policies that agree in it agree in its outcome."""

    def by_turns(draft: Draft, leagues):
        return np.where(leagues % 2 == 0, vona(draft, leagues), greedy_vor(draft, leagues))

    mixed = play(by_turns, 48, 2, 12, PLAYERS)

    assert _same(mixed, play(vona, 48, 2, 12, PLAYERS), slice(0, None, 2))
    assert _same(mixed, play(greedy_vor, 48, 2, 12, PLAYERS), slice(1, None, 2))


def test_seats_are_balanced_and_everything_is_counted():
    """Whole dozens of leagues hold every seat equally often; each league makes sixteen picks."""
    tournament = play(vona, 36, 1, 13, PLAYERS)

    assert np.bincount(tournament.seats_L).tolist() == [3] * TEAMS
    assert tournament.picks == 36 * 16
    assert tournament.league_ids_L.tolist() == list(range(36))
    assert tournament.invalid_L.sum() == tournament.substituted_L.sum() == 0
    assert tournament.actual is None
    assert (
        (tournament.simulated.champion_seats_L_K == tournament.seats_L[:, None])
        == tournament.simulated.titles_L_K
    ).all()


def test_better_drafters_win_more():
    """Random loses to greedy VOR, which loses to VONA; the easy field gives more titles still."""
    points = {
        policy: play(policy, 96, 4, 14, PLAYERS).simulated.points_above_mean_L_K.mean()
        for policy in (random_legal, greedy_vor, vona)
    }
    easy = play(vona, 96, 4, 14, PLAYERS, OpponentField(casual_share=0.6, sharp_share=0, noise=1.5))

    assert points[random_legal] < -20 < points[greedy_vor] < points[vona]
    assert easy.simulated.points_above_mean_L_K.mean() > points[vona]


def test_the_same_seed_means_other_leagues_for_another_purpose():
    """What is trained on can't be met again in the contest."""
    draws = [generator(1, purpose, 0, 0).random() for purpose in Purpose]

    assert len(set(draws)) == len(Purpose)


def test_the_last_block_may_be_partial():
    """100 leagues are a block of 96 and one of 4; from the 48th on the first has 48."""
    places = [(block.number, block.first, block.leagues) for block in blocks_of(100, 1, Purpose.CONTEST)]
    assert places == [(0, 0, 96), (1, 0, 4)]
    later = [(block.number, block.first, block.leagues) for block in blocks_of(100, 1, Purpose.CONTEST, 48)]
    assert later == [(0, 48, 48), (1, 0, 4)]


def test_random_drafters_use_every_position():
    """The null policy is legal but knows nothing: it picks low as often as high."""
    picks = play(random_legal, 24, 1, 15, PLAYERS).picks_L_R

    assert len(np.unique(POSITION_OF[picks])) == 6
    assert np.unique(picks).size > 150
