"""Who starts: the best line-up a manager can name before the games, and what it scores."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from core.use_cases.fantasy_draft.pool import Pool
from core.use_cases.fantasy_draft.rules import (
    CAPS,
    POOL_SLICES,
    POSITION_OF,
    POSITIONS,
    RB,
    ROUNDS,
    STARTERS,
    TE,
    TEAMS,
    WAIVER_SHARE,
    WR,
    Bools,
    Floats,
    Ints,
)

SLOTS = int(CAPS.sum())
"""A roster laid out by position has room for every cap: QB 2, RB 6, WR 7, TE 2, K 1, DST 1; some stay empty."""
SLOT_OFFSETS = np.concatenate([[0], np.cumsum(CAPS)])
SLOT_SLICES = tuple(slice(int(a), int(b)) for a, b in pairwise(SLOT_OFFSETS))
PRIOR_GAMES = np.float32(4)
"""A manager trusts the projection like this many games."""
NOBODY = np.float32(-np.inf)


def by_position(rosters_N_R: Ints) -> Ints:
    """Rosters laid out by position, (SLOTS, N), -1 where a slot is empty."""
    laid_out = np.full((SLOTS, len(rosters_N_R)), -1)
    used = np.zeros((len(rosters_N_R), len(POSITIONS)), np.int64)
    for pick in range(rosters_N_R.shape[1]):
        there = np.flatnonzero(rosters_N_R[:, pick] >= 0)
        players = rosters_N_R[there, pick].astype(np.int64)
        positions = POSITION_OF[players]
        laid_out[SLOT_OFFSETS[positions] + used[there, positions], there] = players
        used[there, positions] += 1
    return laid_out


def best_lineup(keys_S_: Floats, points_S_: Floats, waiver_6_: Floats) -> Floats:
    """The points of the line-up with the highest keys; the first axis is SLOTS, whatever follows is free.

    A key of minus infinity is nobody: a starter who is missing comes from the waiver wire, whose points by
    position must broadcast against those of a slot.
    """
    total = np.zeros(keys_S_.shape[1:], points_S_.dtype)
    flex = np.full_like(total, NOBODY), np.maximum(waiver_6_[RB], waiver_6_[WR]) + total
    for position, where in enumerate(SLOT_SLICES):
        starters = STARTERS[position]
        best = ranked(keys_S_[where], points_S_[where], starters + 1)
        for key, points in best[:starters]:
            total += np.where(key > NOBODY, points, waiver_6_[position])
        if RB <= position <= TE:
            flex = _better(flex, best[starters])[0]
    return total + flex[1]


def ranked(keys_S_: Floats, points_S_: Floats, count: int) -> list[tuple[Floats, Floats]]:
    """The best `count` players along the first axis, best first, as (key, points); fewer where there are fewer."""
    best: list[tuple[Floats, Floats]] = []
    for player in zip(keys_S_, points_S_, strict=True):
        rest = player
        for place, holder in enumerate(best):
            best[place], rest = _better(holder, rest)
        if len(best) < count:
            best.append(rest)
    return best


def _better(
    holder: tuple[Floats, Floats], rival: tuple[Floats, Floats]
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Both players, the one with the higher key first."""
    (key, points), (other_key, other_points) = holder, rival
    wins = other_key > key
    first = np.maximum(key, other_key), np.where(wins, other_points, points)
    second = np.minimum(key, other_key), np.where(wins, points, other_points)
    return first, second


@dataclass(frozen=True, slots=True, eq=False)
class Rosters:
    """What the teams of L leagues own when the draft is over."""

    players_S_L_T: Ints
    """By slot; -1 where it is empty."""
    projections_S_L_T: Floats
    waiver_6_L: Floats
    """What the best undrafted player of each position yields, in projected points."""

    @classmethod
    def of(cls, pool: Pool, rosters_L_T_R: Ints, available_L_P: Bools) -> Self:
        """Rosters as drafted, and who is left."""
        players = by_position(rosters_L_T_R.reshape(-1, ROUNDS)).reshape(SLOTS, len(pool), TEAMS)
        return cls(
            players_S_L_T=players,
            projections_S_L_T=pool.projections_L_P[np.arange(len(pool))[:, None], players],
            waiver_6_L=undrafted_levels(pool, available_L_P),
        )

    def weekly_scores(self, points_L_W_P: Floats) -> Floats:
        """What every team's line-up scores in every week, (L, WEEKS, TEAMS).

        Managers start whom they expect most of, by projection and season so far, among those who play.
        """
        leagues = np.arange(len(points_L_W_P))[:, None]
        points = np.ascontiguousarray(points_L_W_P.transpose(0, 2, 1))[leagues, self.players_S_L_T]
        points[self.players_S_L_T < 0] = np.nan
        plays = ~np.isnan(points)
        np.copyto(points, np.float32(0), where=~plays)
        keys = np.where(plays, self._expectations(points, plays.astype(np.float32)), NOBODY)
        return best_lineup(keys, points, self.waiver_6_L[:, :, None, None]).transpose(0, 2, 1)

    def _expectations(self, points_S_L_T_W: Floats, games_S_L_T_W: Floats) -> Floats:
        """The mean of the projection and of the season's games before each week."""
        games = np.cumsum(games_S_L_T_W, axis=-1)
        games -= games_S_L_T_W
        scored = np.cumsum(points_S_L_T_W, axis=-1)
        scored -= points_S_L_T_W
        scored += (PRIOR_GAMES * self.projections_S_L_T)[..., None]
        games += PRIOR_GAMES
        scored /= games
        return scored


def undrafted_levels(pool: Pool, available_L_P: Bools) -> Floats:
    """What an empty slot yields after the draft: a share of the best undrafted projection, (6, L)."""
    levels = []
    for where in POOL_SLICES:
        last = pool.projections_L_P[:, where.stop - 1]
        levels.append(
            np.where(available_L_P[:, where], pool.projections_L_P[:, where], last[:, None]).max(axis=1)
        )
    return np.float32(WAIVER_SHARE) * np.stack(levels)
