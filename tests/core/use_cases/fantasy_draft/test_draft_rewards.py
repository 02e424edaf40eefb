"""What a roster and a pick are worth, by hand."""

import numpy as np
import pytest

from core.use_cases.fantasy_draft.draft import Draft, OpponentField, draw_boards
from core.use_cases.fantasy_draft.league import Purpose, blocks_of, run_draft, start_drafts
from core.use_cases.fantasy_draft.policies import random_legal, vona
from core.use_cases.fantasy_draft.rewards import (
    candidate_returns,
    our_roster_value,
    roster_value,
    seed_dense_reward,
)
from core.use_cases.fantasy_draft.rules import POOL_SIZE
from core.use_cases.fantasy_draft.shortlist import make_shortlist
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers

WAIVER = np.array([[12.0, 6, 7, 5, 6, 5]])
QBS, RBS, WRS, TES, KS, DSTS = 0, 32, 104, 184, 212, 226


def _draft(leagues: int = 12) -> Draft:
    return start_drafts(blocks_of(leagues, 3, Purpose.SCENARIOS), SyntheticPlayers(), OpponentField())


def _value(points: dict[int, float]) -> float:
    blend = np.zeros((1, POOL_SIZE))
    blend[0, list(points)] = list(points.values())
    return float(roster_value(blend, WAIVER, np.array([list(points)]))[0])


STARTERS = {QBS: 20, RBS: 15, RBS + 1: 12, WRS: 14, WRS + 1: 13, TES: 9, KS: 8, DSTS: 7}


def test_a_lineup_without_flex_gets_one_from_the_waiver_wire():
    """Nine slots, eight players: the FLEX yields the better of the back's and the receiver's waiver level."""
    assert _value(STARTERS) == pytest.approx(98 + 7)


def test_the_flex_is_the_best_of_the_bench():
    """The third receiver (11) goes before the third back (10), who becomes depth: .55 of his 4 over the waiver wire."""
    assert _value(STARTERS | {RBS + 2: 10, WRS + 2: 11}) == pytest.approx(98 + 11 + 0.55 * 4)


def test_depth_counts_over_the_waiver_wire_in_falling_weights():
    """Backs and receivers share the weights .55, .30, .15, .08; nobody below the waiver level counts."""
    bench = {RBS + 2: 10, RBS + 3: 8, WRS + 2: 11, WRS + 3: 10, WRS + 4: 3}

    # FLEX 11; over the wire: back 4, receiver 3, back 2, and nothing for 3.
    assert _value(STARTERS | bench) == pytest.approx(98 + 11 + 0.55 * 4 + 0.30 * 3 + 0.15 * 2)


def test_a_second_quarterback_and_tight_end_are_worth_little():
    """.12 and .15 of what they have over the waiver wire; but a tight end may be the FLEX."""
    base = STARTERS | {WRS + 2: 11}

    assert _value(base | {QBS + 1: 17}) == pytest.approx(98 + 11 + 0.12 * 5)
    assert _value(base | {TES + 1: 8}) == pytest.approx(98 + 11 + 0.15 * 3)
    assert _value(base | {TES: 13, TES + 1: 12}) == pytest.approx(98 + 4 + 12 + 0.55 * 4)


def test_the_order_of_picks_does_not_matter():
    """A roster is a set."""
    draft = _draft()
    run_draft(draft, vona)
    rosters = draft.rosters_L_T_R[np.arange(12), draft.seats_L]
    value = roster_value(draft.pool.blend_L_P, draft.pool.waiver_L_6, rosters[:, ::-1])

    assert value == pytest.approx(our_roster_value(draft))


def test_teacher_rosters_are_worth_more_than_random_ones():
    """The value tells good drafting from bad in every league."""
    good, bad = _draft(), _draft()
    run_draft(good, vona)
    run_draft(bad, random_legal)

    assert (our_roster_value(good) > our_roster_value(bad) + 5).all()


def test_candidates_face_the_same_boards():
    """Twice the same candidate is worth exactly the same; one that is not legal is worth nothing at all."""
    draft = _draft()
    waiting = draft.advance()
    shortlist = make_shortlist(draft, waiting)
    twice = np.stack(
        [shortlist.players_N_C[:, 0], shortlist.players_N_C[:, 1], shortlist.players_N_C[:, 0]], axis=1
    )
    legal = np.array([[True, True, True]] * 11 + [[True, False, True]])
    boards = draw_boards(draft.pool, OpponentField(), np.random.default_rng(0), copies=3).reshape(
        12, 3, 12, -1
    )
    before = draft.picks_made_L.copy()

    returns = candidate_returns(draft, waiting, twice, legal, boards.copy())
    again = candidate_returns(draft, waiting, twice, legal, boards)

    assert (returns[:, 0] == returns[:, 2]).all()
    assert np.isnan(returns[11, 1])
    assert not np.isnan(returns[:11]).any()
    assert (draft.picks_made_L == before).all()
    assert np.array_equal(returns, again, equal_nan=True)


def test_the_last_pick_returns_the_roster_it_completes():
    """With nothing left to simulate the return is the value itself, whatever the boards."""
    draft = _draft()
    while (waiting := draft.advance()).size and draft.round_of(waiting)[0] < 15:
        draft.pick(waiting, vona(draft, waiting))
    shortlist = make_shortlist(draft, waiting)
    boards = draw_boards(draft.pool, OpponentField(), np.random.default_rng(0), copies=2).reshape(
        12, 2, 12, -1
    )

    returns = candidate_returns(draft, waiting, shortlist.players_N_C, shortlist.legal_N_C, boards)
    choice = shortlist.first_legal_N
    draft.pick(waiting, shortlist.chosen(choice))

    assert returns[np.arange(12), choice] == pytest.approx(our_roster_value(draft))


def test_the_seeds_reward_by_hand():
    """The best back at pick 1 of an empty roster: his VOR/10, 1 for the top five, .5 for the need, no reach."""
    draft = _draft()
    waiting = draft.advance()[:1]
    best, replacement = draft.pool.projections_L_P[0, [RBS, RBS + 23]]
    reach = draft.pool.adp_L_P[0, RBS] > draft.picks_made_L[0] + 1 + 5

    reward = seed_dense_reward(draft, waiting, np.array([RBS]))

    assert reward == pytest.approx([0.1 * (best - replacement) + 1 + 0.5 + 0.3 * reach])
    deep = seed_dense_reward(draft, waiting, np.array([RBS + 60]))
    assert deep == pytest.approx([0.5 + 0.3])
