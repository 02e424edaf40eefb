"""The rules of the league that is drafted for: positions, rosters, the snake, the calendar."""

from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Position = Literal["QB", "RB", "WR", "TE", "K", "DST"]
Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]
Bools: TypeAlias = NDArray[np.bool_]

POSITIONS: tuple[Position, ...] = ("QB", "RB", "WR", "TE", "K", "DST")
QB, RB, WR, TE, K, DST = range(6)

TEAMS = 12
ROUNDS = 16
PICKS = TEAMS * ROUNDS
STARTERS = np.array([1, 2, 2, 1, 1, 1])
"""Starters by position; one FLEX more, from RB, WR or TE; seven on the bench."""
CAPS = np.array([2, 6, 7, 2, 1, 1])
"""The most players a team may own, by position."""
FLEX = slice(RB, TE + 1)
LATE_ROUNDS = 3
"""Sensible managers draft a kicker and a defence in the last three rounds."""

REGULAR_WEEKS = 14
PLAYOFF_TEAMS = 6
WEEKS = 17

POOL_COUNTS = np.array([32, 72, 80, 28, 14, 14])
"""Players in a league's pool by position. They lie one position after the other, best projection first."""
POOL_SIZE = int(POOL_COUNTS.sum())
POOL_OFFSETS = np.concatenate([[0], np.cumsum(POOL_COUNTS)])
POOL_SLICES = tuple(slice(int(a), int(b)) for a, b in pairwise(POOL_OFFSETS))
POSITION_OF = np.repeat(np.arange(len(POSITIONS)), POOL_COUNTS)
"""The position of each player of a pool, (P,)."""

REPLACEMENT_RANKS = np.array([12, 30, 34, 13, 12, 12])
"""The first player of a position that nobody starts."""
WAIVER_RANKS = np.minimum(REPLACEMENT_RANKS + np.array([3, 18, 18, 3, 3, 3]), POOL_COUNTS - 1)
"""Index inside the position of the player who is still free when the draft is over."""
WAIVER_SHARE = 0.8
"""What a free player is worth, as a share of his projection: he must be found in time."""


def snake_order() -> Ints:
    """The team on the clock at each overall pick, (PICKS,): 0..11, then 11..0, and so on."""
    there = np.arange(TEAMS)
    return np.concatenate([there if rnd % 2 == 0 else there[::-1] for rnd in range(ROUNDS)])


def picks_of_teams() -> Ints:
    """The overall picks (from 0) of each team, (TEAMS, ROUNDS + 1); the last column is the end of the draft."""
    picks = np.argsort(snake_order(), kind="stable").reshape(TEAMS, ROUNDS)
    return np.concatenate([picks, np.full((TEAMS, 1), PICKS)], axis=1)


TEAM_AT_PICK = snake_order()
PICKS_OF_TEAM = picks_of_teams()
