"""Snake drafts of many leagues at once: one team of each is ours, eleven are simulated managers."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field

from core.record import Settings
from core.use_cases.fantasy_draft.pool import Pool, ranks
from core.use_cases.fantasy_draft.rules import (
    CAPS,
    DST,
    FLEX,
    LATE_ROUNDS,
    PICKS,
    PICKS_OF_TEAM,
    POOL_SIZE,
    POOL_SLICES,
    POSITION_OF,
    POSITIONS,
    QB,
    RB,
    ROUNDS,
    STARTERS,
    TE,
    TEAM_AT_PICK,
    TEAMS,
    WR,
    Bools,
    Floats,
    Ints,
    K,
)

LUCK_STREAMS = 4
"""Independent uniform numbers a policy may use at each of its picks (two a stream)."""
OUT_OF_QUESTION = np.float32(1e6)


class OpponentField(Settings):
    """What the eleven others are like. The shares are of managers, the noise is in standard deviations."""

    casual_share: float = Field(default=0.25, ge=0, le=1)
    """Managers whose board lies twice as far from the ADP."""
    sharp_share: float = Field(default=0.15, ge=0, le=1)
    """Managers who order players by value over replacement."""
    noise: float = Field(default=1.0, ge=0)
    """How far boards lie from the ADP, in its own standard deviations."""


def draw_boards(pool: Pool, field: OpponentField, rng: np.random.Generator, copies: int = 1) -> Floats:
    """Every manager's own ranking of the players, lower is better, (copies * L, TEAMS, P); copies of a league adjoin."""
    leagues = len(pool) * copies
    kind = rng.random((leagues, TEAMS, 1), dtype=np.float32)
    boards = rng.standard_normal((leagues, TEAMS, POOL_SIZE), dtype=np.float32)
    sharp = kind > 1 - field.sharp_share
    spread = np.where(kind < field.casual_share, 2 * field.noise, field.noise)
    boards *= np.where(sharp, 0.5, spread).astype(np.float32)
    boards *= np.repeat(pool.adp_sd_L_P, copies, axis=0)[:, None]
    boards += np.repeat(pool.adp_L_P, copies, axis=0)[:, None]
    league, team, _ = np.nonzero(sharp)
    by_adp, by_value = pool.adp_L_P, ranks(-_value_with_late_kickers(pool)) + 1
    boards[league, team] += (by_value - by_adp)[league // copies]
    return boards


def _value_with_late_kickers(pool: Pool) -> Floats:
    return pool.vor_L_P - np.where(POSITION_OF >= K, np.float32(6), np.float32(0))


@dataclass(slots=True, eq=False)
class Draft:
    """The state of L drafts. Every league has its own clock; methods take the leagues they are about, (N,)."""

    pool: Pool
    seats_L: Ints
    boards_L_T_P: Floats
    """The managers' rankings; infinite for players who are gone."""
    luck_L_R_S_2: Floats
    """Uniform numbers for policies that roll dice, by round and stream."""
    available_L_P: Bools
    counts_L_T_6: Ints
    rosters_L_T_R: Ints
    """Players in the order they were picked, -1 where none is yet."""
    picks_made_L: Ints
    invalid_L: Ints
    """Our picks that were not legal, or not readable; the policy itself counts what it finds so."""
    substituted_L: Ints
    """Our picks that had to be replaced by a legal one."""

    @classmethod
    def start(cls, pool: Pool, seats_L: Ints, boards_L_T_P: Floats, luck_L_R_S_2: Floats) -> Self:
        """Drafts before the first pick. The boards are changed in place as players go."""
        leagues = len(pool)
        return cls(
            pool=pool,
            seats_L=seats_L,
            boards_L_T_P=boards_L_T_P,
            luck_L_R_S_2=luck_L_R_S_2,
            available_L_P=np.ones((leagues, POOL_SIZE), bool),
            counts_L_T_6=np.zeros((leagues, TEAMS, len(POSITIONS)), np.int8),
            rosters_L_T_R=np.full((leagues, TEAMS, ROUNDS), -1, np.int16),
            picks_made_L=np.zeros(leagues, np.int64),
            invalid_L=np.zeros(leagues, np.int64),
            substituted_L=np.zeros(leagues, np.int64),
        )

    def __len__(self) -> int:
        return len(self.seats_L)

    def branch(self, leagues: Ints, boards_N_T_P: Floats) -> Self:
        """Copies of some drafts, a league repeated at will, going on against managers with other boards (taken over)."""
        available = self.available_L_P[leagues]
        boards_N_T_P[np.broadcast_to(~available[:, None], boards_N_T_P.shape)] = np.inf
        return type(self)(
            pool=self.pool.rows(leagues),
            seats_L=self.seats_L[leagues],
            boards_L_T_P=boards_N_T_P,
            luck_L_R_S_2=self.luck_L_R_S_2[leagues],
            available_L_P=available,
            counts_L_T_6=self.counts_L_T_6[leagues],
            rosters_L_T_R=self.rosters_L_T_R[leagues],
            picks_made_L=self.picks_made_L[leagues],
            invalid_L=self.invalid_L[leagues],
            substituted_L=self.substituted_L[leagues],
        )

    def round_of(self, leagues: Ints) -> Ints:
        """The round on the clock, from 0, (N,)."""
        return self.picks_made_L[leagues] // TEAMS

    def next_pick(self, leagues: Ints) -> Ints:
        """The overall pick, from 0, at which our team comes again after this one, (N,)."""
        return PICKS_OF_TEAM[self.seats_L[leagues], self.round_of(leagues) + 1]

    def owned(self, leagues: Ints) -> Ints:
        """How many players of each position our team has, (N, 6)."""
        return self.counts_L_T_6[leagues, self.seats_L[leagues]].astype(np.int64)

    def luck(self, leagues: Ints, stream: int = 0) -> Floats:
        """Two uniform numbers for this pick of each league, (N, 2): the same whatever was picked before."""
        return self.luck_L_R_S_2[leagues, self.round_of(leagues), stream]

    def legal_positions(self, leagues: Ints, teams: Ints | None = None) -> Bools:
        """Positions a team may draft now, (N, 6): under its cap, and every starter can still be found. Default: our team."""
        teams = self.seats_L[leagues] if teams is None else teams
        return legal_positions(self.counts_L_T_6[leagues, teams], ROUNDS - self.round_of(leagues))

    def legal_players(self, leagues: Ints) -> Bools:
        """Players our team may draft now, (N, P)."""
        return self.available_L_P[leagues] & self.legal_positions(leagues)[:, POSITION_OF]

    def take(self, leagues: Ints, teams: Ints, players: Ints) -> None:
        """Each league's team picks its player."""
        self.rosters_L_T_R[leagues, teams, self.round_of(leagues)] = players
        self.available_L_P[leagues, players] = False
        self.boards_L_T_P[leagues, :, players] = np.inf
        self.counts_L_T_6[leagues, teams, POSITION_OF[players]] += 1
        self.picks_made_L[leagues] += 1

    def pick(self, leagues: Ints, players: Ints) -> None:
        """Our team picks."""
        self.take(leagues, self.seats_L[leagues], players)

    def advance(self) -> Ints:
        """Let the others pick until every league waits for us or is over; the leagues that wait, (N,)."""
        while True:
            on_clock = TEAM_AT_PICK[np.minimum(self.picks_made_L, PICKS - 1)]
            going = self.picks_made_L < PICKS
            others = np.flatnonzero(going & (on_clock != self.seats_L))
            if not len(others):
                return np.flatnonzero(going)
            teams = on_clock[others]
            self.take(others, teams, self._managers_choice(others, teams))

    def _managers_choice(self, leagues: Ints, teams: Ints) -> Ints:
        """The best player of each manager's board, once his needs have moved whole positions down."""
        board = self.boards_L_T_P[leagues, teams]
        best_N_6 = np.stack([p.start + board[:, p].argmin(axis=1) for p in POOL_SLICES], axis=1)
        ranks_N_6 = np.take_along_axis(board, best_N_6, axis=1)
        owned = self.counts_L_T_6[leagues, teams]
        late = self.round_of(leagues) >= ROUNDS - LATE_ROUNDS
        ranks_N_6 += need_penalty(owned, self.legal_positions(leagues, teams), late)
        return np.take_along_axis(best_N_6, ranks_N_6.argmin(axis=1)[:, None], axis=1)[:, 0]


def legal_positions(owned_N_6: Ints, picks_left_N: Ints) -> Bools:
    """Positions under their cap; once all picks left are needed for starters, only positions that start."""
    missing = np.maximum(STARTERS - owned_N_6, 0)
    no_flex = flex_open(owned_N_6)
    starts = missing > 0
    starts[:, FLEX] |= no_flex[:, None]
    must_start = missing.sum(axis=1) + no_flex >= picks_left_N
    return (owned_N_6 < CAPS) & (starts | ~must_start[:, None])


def flex_open(owned_N_6: Ints) -> Bools:
    """Rosters that have nobody for the FLEX slot yet, (N,)."""
    return np.logical_and.reduce(owned_N_6[:, FLEX] <= STARTERS[FLEX], axis=1)


def need_penalty(owned_N_6: Ints, legal_N_6: Bools, late_N: Bools) -> Floats:
    """How many places down its board a manager moves a position he hardly needs, (N, 6)."""
    penalty = np.where(legal_N_6, np.float32(0), OUT_OF_QUESTION)
    penalty[:, [K, DST]] += np.where(late_N, np.float32(0), np.float32(1e4))[:, None]
    for position, enough, places in ((QB, 1, 35), (TE, 1, 30), (RB, 4, 12), (WR, 5, 12)):
        penalty[:, position] += np.where(owned_N_6[:, position] >= enough, np.float32(places), np.float32(0))
    return penalty
