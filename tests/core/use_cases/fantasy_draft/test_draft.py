"""Snake drafts: order, legality, and what a draft may not touch."""

import numpy as np
import pytest

from core.use_cases.fantasy_draft.draft import Draft, OpponentField, draw_boards, legal_positions
from core.use_cases.fantasy_draft.league import Purpose, blocks_of, run_draft, start_drafts
from core.use_cases.fantasy_draft.policies import SCRIPTED, noisy, random_legal, vona
from core.use_cases.fantasy_draft.rules import (
    CAPS,
    FLEX,
    PICKS_OF_TEAM,
    POSITION_OF,
    ROUNDS,
    STARTERS,
    TEAM_AT_PICK,
    TEAMS,
)
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers


def _drafts(leagues: int, seed: int = 5) -> Draft:
    return start_drafts(blocks_of(leagues, seed, Purpose.CONTEST), SyntheticPlayers(), OpponentField())


def test_snake_turns_at_the_ends():
    """The last team of one round is the first of the next."""
    assert TEAM_AT_PICK[:13].tolist() == [*range(12), 11]
    assert TEAM_AT_PICK[22:26].tolist() == [1, 0, 0, 1]
    assert PICKS_OF_TEAM[0, :3].tolist() == [0, 23, 24]
    assert PICKS_OF_TEAM[11, :3].tolist() == [11, 12, 35]
    assert (PICKS_OF_TEAM[:, -1] == TEAMS * ROUNDS).all()


def test_last_picks_must_complete_the_lineup():
    """A roster that still lacks a tight end, a kicker and a defence with three picks left may take only those."""
    owned = np.array([[1, 4, 8 - 1, 0, 0, 0]])

    assert legal_positions(owned, np.array([3])).tolist() == [[False, False, False, True, True, True]]


def test_flex_counts_as_a_starter_to_be_found():
    """QB, 2 RB, 2 WR, TE, K owned; with two picks left the FLEX and the defence are missing."""
    owned = np.array([[1, 2, 2, 1, 1, 0]])

    assert legal_positions(owned, np.array([2])).tolist() == [[False, True, True, True, False, True]]


def test_caps_close_positions():
    """Nobody owns a third quarterback or a second kicker."""
    owned = np.array([[2, 6, 3, 1, 1, 0]])

    assert legal_positions(owned, np.array([3])).tolist() == [[False, False, True, True, False, True]]


@pytest.mark.parametrize("name", SCRIPTED)
def test_every_roster_is_legal_whoever_drafts(name):
    """Sixteen different players a team, within the caps, with a full line-up; nobody is drafted twice."""
    draft = _drafts(24)
    run_draft(draft, SCRIPTED[name])

    counts = draft.counts_L_T_6
    picked = np.sort(draft.rosters_L_T_R.reshape(24, -1), axis=1)
    assert (np.diff(picked, axis=1) > 0).all()
    assert (picked[:, 0] >= 0).all()
    assert (counts <= CAPS).all()
    assert (counts >= STARTERS).all()
    assert (counts[:, :, FLEX].sum(axis=2) > STARTERS[FLEX].sum()).all()
    assert (counts.sum(axis=2) == ROUNDS).all()
    assert (np.bincount(POSITION_OF[picked[0]]) == counts[0].sum(axis=0)).all()


def test_all_leagues_wait_together_whatever_the_seat():
    """A tournament is sixteen batches, one a round, of every league."""
    draft, batches = _drafts(24), []

    def policy(draft, leagues):
        batches.append(len(leagues))
        return random_legal(draft, leagues)

    run_draft(draft, policy)

    assert batches == [24] * ROUNDS


def test_a_branch_leaves_its_draft_alone():
    """Finishing copies of a draft does not move the draft itself."""
    draft = _drafts(12)
    waiting = draft.advance()
    draft.pick(waiting, vona(draft, waiting))
    before = draft.available_L_P.copy(), draft.rosters_L_T_R.copy(), draft.boards_L_T_P.copy()
    boards = draw_boards(draft.pool, OpponentField(), np.random.default_rng(0), copies=2)

    branch = draft.branch(np.repeat(np.arange(12), 2), boards)
    run_draft(branch, vona)

    assert (draft.available_L_P == before[0]).all()
    assert (draft.rosters_L_T_R == before[1]).all()
    assert (draft.boards_L_T_P == before[2]).all()
    ours = branch.rosters_L_T_R[np.arange(24), branch.seats_L]
    assert (ours[:, 0] == np.repeat(draft.rosters_L_T_R[np.arange(12), draft.seats_L, 0], 2)).all()


def test_noise_of_none_changes_nothing_and_all_changes_much():
    """A noisy policy with share 0 is the policy; other streams roll other dice."""
    picks = {}
    for name, policy in (
        ("vona", vona),
        ("none", noisy(vona, 0.0)),
        ("half", noisy(vona, 0.5)),
        ("half again", noisy(vona, 0.5)),
        ("other dice", noisy(vona, 0.5, stream=1)),
    ):
        draft = _drafts(24)
        run_draft(draft, policy)
        picks[name] = draft.rosters_L_T_R
    assert (picks["none"] == picks["vona"]).all()
    assert (picks["half"] == picks["half again"]).all()
    assert (picks["half"] != picks["vona"]).any()
    assert (picks["half"] != picks["other dice"]).any()


def test_casual_managers_stray_farther_from_the_adp():
    """The field's noise is the spread of the boards around the ADP."""
    pool = SyntheticPlayers().draw(24, np.random.default_rng(1))

    def spread(field):
        boards = draw_boards(pool, field, np.random.default_rng(2))
        return float(((boards - pool.adp_L_P[:, None]) / pool.adp_sd_L_P[:, None]).std())

    assert spread(OpponentField(casual_share=0, sharp_share=0)) == pytest.approx(1, abs=0.02)
    assert spread(OpponentField(casual_share=1, sharp_share=0)) == pytest.approx(2, abs=0.04)
    assert spread(OpponentField(casual_share=0, sharp_share=0, noise=0)) == 0
