"""What a pick was worth: the value of the roster it leads to, once the draft is finished without luck."""

from typing import Literal

import numpy as np

from core.use_cases.fantasy_draft.draft import Draft
from core.use_cases.fantasy_draft.league import run_draft
from core.use_cases.fantasy_draft.lineup import NOBODY, SLOT_SLICES, by_position, ranked
from core.use_cases.fantasy_draft.policies import Policy, vona
from core.use_cases.fantasy_draft.pool import Pool
from core.use_cases.fantasy_draft.rules import (
    POOL_OFFSETS,
    POOL_SLICES,
    POSITION_OF,
    POSITIONS,
    QB,
    RB,
    STARTERS,
    TE,
    WR,
    Bools,
    Floats,
    Ints,
)

RewardName = Literal["roster_value", "seed_dense"]
"""What a pick can be paid by: the roster it leads to; or, for comparison only, the seed's dense scheme."""
DEPTH_WEIGHTS = np.array([0.55, 0.30, 0.15, 0.08], np.float32)
"""What a point over the waiver wire is worth in the first four running backs and receivers on the bench."""
SECOND_QB_WEIGHT = np.float32(0.12)
SECOND_TE_WEIGHT = np.float32(0.15)
ROWS_AT_ONCE = 1_536
"""Copies of a draft that are finished together: some 20 MB of boards."""


def roster_value(blend_N_P: Floats, waiver_N_6: Floats, rosters_N_R: Ints) -> Floats:
    """The points a game that a roster is good for, (N,): the best line-up, and its depth over the waiver wire.

    It has no luck in it, and its correlation with a team's mean over many simulated seasons is .83.
    """
    laid_out = by_position(rosters_N_R)
    blend = blend_N_P[np.arange(len(rosters_N_R)), laid_out]
    points_S_N = np.where(laid_out >= 0, blend, NOBODY)
    waiver_6_N = waiver_N_6.T
    by_place = [_sorted(points_S_N[where]) for where in SLOT_SLICES]
    starters = sum(
        np.where(points > NOBODY, points, waiver_6_N[position])
        for position, places in enumerate(by_place)
        for points in places[: STARTERS[position]]
    )
    bench = [places[STARTERS[position] :] for position, places in enumerate(by_place)]
    return starters + _take_flex(bench, waiver_6_N) + _depth(bench, waiver_6_N)


def _sorted(points_S_N: Floats) -> Floats:
    best = ranked(points_S_N, points_S_N, len(points_S_N))
    return np.stack([points for points, _ in best])


def _take_flex(bench: list[Floats], waiver_6_N: Floats) -> Floats:
    """Move the best of the benched backs, receivers and tight ends into the line-up; his points, (N,)."""
    heads_3_N = np.stack([bench[position][0] for position in (RB, WR, TE)])
    flex = heads_3_N.argmax(axis=0)
    for which, position in enumerate((RB, WR, TE)):
        bench[position][0] = np.where(flex == which, NOBODY, bench[position][0])
    points = heads_3_N.max(axis=0)
    return np.where(points > NOBODY, points, np.maximum(waiver_6_N[RB], waiver_6_N[WR]))


def _depth(bench: list[Floats], waiver_6_N: Floats) -> Floats:
    surplus = [np.maximum(points - waiver_6_N[position], 0) for position, points in enumerate(bench)]
    backs_and_receivers = -np.sort(-np.concatenate([surplus[RB], surplus[WR]]), axis=0)[: len(DEPTH_WEIGHTS)]
    return (
        (DEPTH_WEIGHTS[:, None] * backs_and_receivers).sum(axis=0)
        + SECOND_QB_WEIGHT * surplus[QB][0]
        + SECOND_TE_WEIGHT * surplus[TE][0]
    )


def our_roster_value(draft: Draft) -> Floats:
    """The value of our team in each league, (L,), against the waiver levels of its pool."""
    ours = draft.rosters_L_T_R[np.arange(len(draft)), draft.seats_L]
    return roster_value(draft.pool.blend_L_P, draft.pool.waiver_L_6, ours)


def candidate_returns(
    draft: Draft,
    leagues: Ints,
    candidates_N_C: Ints,
    legal_N_C: Bools,
    boards_N_K_T_P: Floats,
    *,
    finish: Policy = vona,
) -> Floats:
    """What taking each candidate leads to, (N, C), points a game; NaN where it is not legal.

    The draft is finished by a scripted policy against K sets of opponents' boards, the same for all candidates of
    a league, so that differences between candidates are not luck of the boards.
    """
    copies = boards_N_K_T_P.shape[1]
    returns = np.full(candidates_N_C.shape, np.nan)
    rows, columns = np.nonzero(legal_N_C)
    step = max(1, ROWS_AT_ONCE // copies)
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        values = _finish(draft, leagues[row], candidates_N_C[row, column], boards_N_K_T_P[row], finish)
        returns[row, column] = values.reshape(-1, copies).mean(axis=1)
    return returns


def _finish(draft: Draft, leagues: Ints, players: Ints, boards_M_K_T_P: Floats, finish: Policy) -> Floats:
    """The value of our roster in every copy, (M * K,), once each league's player was taken."""
    copies = boards_M_K_T_P.shape[1]
    branch = draft.branch(np.repeat(leagues, copies), boards_M_K_T_P.reshape(-1, *boards_M_K_T_P.shape[2:]))
    branch.pick(np.arange(len(branch)), np.repeat(players, copies))
    run_draft(branch, finish)
    return our_roster_value(branch)


SEED_REPLACEMENT_RANKS = np.array([12, 24, 24, 12, 12, 12])
SEED_REACH_MARGIN = 5


def seed_dense_reward(draft: Draft, leagues: Ints, players_N: Ints) -> Floats:
    """The reward a pick gets in the seed's own scheme, (N,): for comparison only.

    0.1 a point of value over replacement, 1 for a top five player of his position or 0.5 for a top twelve one, 0.5
    for filling a need, 0.3 for an ADP more than five places later than the pick. Trained on, it loses to VOR with
    needs: it pays for reaching, and nothing below replacement is worth anything.
    """
    positions = POSITION_OF[players_N]
    rank = players_N - POOL_OFFSETS[positions]
    vor = np.maximum(_seed_vor(draft.pool, leagues)[np.arange(len(leagues)), players_N], 0)
    need = draft.owned(leagues)[np.arange(len(leagues)), positions] < STARTERS[positions]
    overall = draft.picks_made_L[leagues] + 1
    reach = draft.pool.adp_L_P[leagues, players_N] > overall + SEED_REACH_MARGIN
    return 0.1 * vor + np.where(rank < 5, 1.0, np.where(rank < 12, 0.5, 0.0)) + 0.5 * need + 0.3 * reach


def _seed_vor(pool: Pool, leagues: Ints) -> Floats:
    points = pool.projections_L_P[leagues]
    replacement = np.stack(
        [
            points[:, where.start + rank - 1]
            for where, rank in zip(POOL_SLICES, SEED_REPLACEMENT_RANKS, strict=True)
        ],
        axis=1,
    )
    return points - np.repeat(replacement, np.bincount(POSITION_OF, minlength=len(POSITIONS)), axis=1)
