"""Scripted drafters: what the model is held against, and who teaches it.

A policy names one player for each league that waits: (draft, leagues (N,)) -> players (N,). It keeps no state;
dice come from the draft's own luck, so that a league plays the same in any company.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from core.use_cases.fantasy_draft.draft import LUCK_STREAMS, Draft, need_penalty
from core.use_cases.fantasy_draft.rules import (
    LATE_ROUNDS,
    POOL_SLICES,
    POSITION_OF,
    QB,
    RB,
    ROUNDS,
    TE,
    WR,
    Bools,
    Floats,
    Ints,
)
from core.use_cases.fantasy_draft.vona import look_out, sensible_positions, vona_scores

Policy: TypeAlias = Callable[[Draft, Ints], Ints]

NOISY_CHOICES = 8
"""A noisy pick is one of this many legal players with the best ADP."""


def random_legal(draft: Draft, leagues: Ints) -> Ints:
    """Any legal player."""
    legal = draft.legal_players(leagues)
    which = np.floor(draft.luck(leagues, LUCK_STREAMS - 1)[:, 0] * legal.sum(axis=1))
    return (legal.cumsum(axis=1) > which[:, None]).argmax(axis=1)


def most_points(draft: Draft, leagues: Ints) -> Ints:
    """The highest projection that is legal."""
    best = _best_projection(draft, leagues)
    return _choose(best, draft.pool.projections_L_P[leagues[:, None], best], draft.legal_positions(leagues))


def greedy_vor(draft: Draft, leagues: Ints) -> Ints:
    """The highest value over replacement that is legal: the drafter the seed wants beaten."""
    best = _best_projection(draft, leagues)
    return _choose(best, draft.pool.vor_L_P[leagues[:, None], best], draft.legal_positions(leagues))


def vor_with_needs(draft: Draft, leagues: Ints) -> Ints:
    """Value over replacement, less where the roster is full already; kickers and defences last."""
    best, owned = _best_projection(draft, leagues), draft.owned(leagues)
    score = draft.pool.vor_L_P[leagues[:, None], best]
    for position, enough, points in ((QB, 1, 3.5), (TE, 1, 3.0), (RB, 4, 1.0), (WR, 5, 1.0)):
        score[:, position] -= points * (owned[:, position] >= enough)
    return _choose(best, score, sensible_positions(draft, leagues))


def adp_with_needs(draft: Draft, leagues: Ints) -> Ints:
    """The market's next player, with the simulated managers' own sense of need."""
    late = draft.round_of(leagues) >= ROUNDS - LATE_ROUNDS
    penalty = need_penalty(draft.owned(leagues), draft.legal_positions(leagues), late)
    places = draft.pool.adp_L_P[leagues] + penalty[:, POSITION_OF]
    return np.where(draft.available_L_P[leagues], places, np.inf).argmin(axis=1)


def vona(draft: Draft, leagues: Ints) -> Ints:
    """Value over next available, weighted by what the roster needs: the teacher."""
    outlook = look_out(draft, leagues)
    scores = vona_scores(outlook, draft.owned(leagues))
    return _choose(outlook.players_N_6_D[:, :, 0], scores, sensible_positions(draft, leagues))


def noisy(policy: Policy, share: float, stream: int = 0) -> Policy:
    """A policy that leaves that share of its picks to chance. Streams differ in their dice."""

    def pick(draft: Draft, leagues: Ints) -> Ints:
        players = policy(draft, leagues)
        luck = draft.luck(leagues, stream)
        strays = np.flatnonzero(luck[:, 0] < share)
        if len(strays):
            players = players.copy()
            players[strays] = _near_the_market(draft, leagues[strays], luck[strays, 1])
        return players

    return pick


def _near_the_market(draft: Draft, leagues: Ints, luck_N: Floats) -> Ints:
    places = np.where(draft.legal_players(leagues), draft.pool.adp_L_P[leagues], np.inf)
    nearest = np.argsort(places, axis=1, kind="stable")[:, :NOISY_CHOICES]
    legal = np.isfinite(np.take_along_axis(places, nearest, axis=1)).sum(axis=1)
    return nearest[np.arange(len(leagues)), np.floor(luck_N * legal).astype(np.int64)]


def _best_projection(draft: Draft, leagues: Ints) -> Ints:
    """The best free player of each position by projection, (N, 6): the first one, as pools are sorted."""
    free = draft.available_L_P[leagues]
    return np.stack([where.start + free[:, where].argmax(axis=1) for where in POOL_SLICES], axis=1)


def _choose(players_N_6: Ints, scores_N_6: Floats, allowed_N_6: Bools) -> Ints:
    best = np.where(allowed_N_6, scores_N_6, -np.inf).argmax(axis=1)
    return players_N_6[np.arange(len(best)), best]


SCRIPTED: dict[str, Policy] = {
    "random": random_legal,
    "most points": most_points,
    "greedy VOR": greedy_vor,
    "VOR + needs": vor_with_needs,
    "ADP + needs": adp_with_needs,
    "VONA": vona,
}
"""Names as reports print them."""
