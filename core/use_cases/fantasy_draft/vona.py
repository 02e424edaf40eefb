"""Value over next available: what a position gives now, against what waiting one round would give."""

from dataclasses import dataclass

import numpy as np

from core.statistics import normal_cdf
from core.use_cases.fantasy_draft.draft import Draft, flex_open
from core.use_cases.fantasy_draft.rules import (
    FLEX,
    LATE_ROUNDS,
    POOL_SLICES,
    POSITIONS,
    RB,
    ROUNDS,
    STARTERS,
    WR,
    Bools,
    Floats,
    Ints,
)

DEPTH = 14
"""How many players of a position are looked at when guessing who is left at the next pick."""
WAITING_WEIGHT = 0.75
GONE = np.uint8(255)
ADP_SPREAD = 1.25
"""Managers differ more than the ADP's own standard deviation says."""
ROSTER_WEIGHTS = np.array(
    [
        [1, 0.18, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0.75, 0.45, 0.30, 0.20, 0.10, 0.10, 0.10],
        [1, 1, 0.75, 0.45, 0.30, 0.20, 0.12, 0.10, 0.10],
        [1, 0.25, 0.10, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
"""What a point is worth in the n-th player of a position (rows QB, RB, WR, TE, K, DST)."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The best players still free in N leagues, and what our next pick may still find; blended points."""

    players_N_6_D: Ints
    """Best first; a position's list may end with players who are gone."""
    points_N_6_D: Floats
    """-1 for a player who is gone."""
    expected_next_N_6: Floats
    """The best of each position that is expected to be there at our next pick."""
    waiver_N_6: Floats

    @property
    def gains_N_6(self) -> Floats:  # noqa: N802
        """The best free player of each position, over what the waiver wire gives."""
        return self.points_N_6_D[:, :, 0] - self.waiver_N_6

    @property
    def drops_N_6(self) -> Floats:  # noqa: N802
        """What waiting until our next pick is expected to cost, by position."""
        return self.points_N_6_D[:, :, 0] - self.expected_next_N_6


def look_out(draft: Draft, leagues: Ints) -> Outlook:
    """The free players of the leagues, and the expected best at our next pick."""
    players, points = _best_available(draft, leagues)
    survival = _survival(draft, leagues, players) * (points > 0)
    return Outlook(
        players_N_6_D=players,
        points_N_6_D=points,
        expected_next_N_6=expected_best(points, survival),
        waiver_N_6=draft.pool.waiver_L_6[leagues],
    )


def _best_available(draft: Draft, leagues: Ints) -> tuple[Ints, Floats]:
    free = draft.available_L_P[leagues]
    places = np.where(free, draft.pool.blend_ranks_L_P[leagues], GONE)
    players = np.empty((len(leagues), len(POSITIONS), DEPTH), np.int64)
    for position, where in enumerate(POOL_SLICES):
        players[:, position] = where.start + np.argsort(places[:, where], axis=1, kind="stable")[:, :DEPTH]
    at = leagues[:, None, None], players
    return players, np.where(draft.available_L_P[at], draft.pool.blend_L_P[at], np.float32(-1))


def _survival(draft: Draft, leagues: Ints, players_N_6_D: Ints) -> Floats:
    """The chance that a player who is free now is free at our next pick, from his ADP."""
    at = leagues[:, None, None]
    adp, spread = draft.pool.adp_L_P[at, players_N_6_D], ADP_SPREAD * draft.pool.adp_sd_L_P[at, players_N_6_D]
    now, later = draft.picks_made_L[leagues], draft.next_pick(leagues)
    still_there = normal_cdf((adp - later[:, None, None] - 0.5) / spread)
    there_now = normal_cdf((adp - now[:, None, None] - 0.5) / spread)
    return np.clip(still_there / np.maximum(there_now, 1e-3), 0, 1)


def expected_best(points_N_6_D: Floats, survival_N_6_D: Floats) -> Floats:
    """The expected points of the best survivor, (N, 6); the last one listed if none survives."""
    none_so_far = np.cumprod(1 - survival_N_6_D, axis=2)
    first = np.ones_like(none_so_far)
    first[:, :, 1:] = none_so_far[:, :, :-1]
    found = (first * survival_N_6_D * points_N_6_D).sum(axis=2)
    return found + none_so_far[:, :, -1] * np.maximum(points_N_6_D[:, :, -1], 0)


def roster_weights(owned_N_6: Ints) -> Floats:
    """What a point of one more player is worth to the roster, by position, (N, 6)."""
    index = owned_N_6.copy()
    flex_taken = ~flex_open(owned_N_6)
    for position in (RB, WR):
        index[:, position] += flex_taken & (owned_N_6[:, position] >= STARTERS[position])
    return ROSTER_WEIGHTS[np.arange(len(POSITIONS)), index]


def vona_scores(outlook: Outlook, owned_N_6: Ints, waiting_weight: float = WAITING_WEIGHT) -> Floats:
    """The score of taking the best free player of each position, (N, 6), in points a game."""
    now = np.maximum(outlook.gains_N_6, 0.02)
    later = np.maximum(outlook.expected_next_N_6 - outlook.waiver_N_6, 0)
    return roster_weights(owned_N_6) * (now - waiting_weight * later)


def sensible_positions(draft: Draft, leagues: Ints) -> Bools:
    """Legal positions, without kickers and defences before the last rounds where anything else is legal, (N, 6)."""
    legal = draft.legal_positions(leagues)
    sensible = legal.copy()
    sensible[draft.round_of(leagues) < ROUNDS - LATE_ROUNDS, FLEX.stop :] = False
    return np.where(sensible.any(axis=1, keepdims=True), sensible, legal)
