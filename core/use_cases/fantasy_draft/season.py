"""What a season brings: talent, weekly points that team-mates share, injuries and byes.

Weekly points are NaN where a player sits out.
"""

import numpy as np

from core.use_cases.fantasy_draft.pool import FREE_AGENT, MARKET_WEIGHT, NFL_TEAMS, Pool
from core.use_cases.fantasy_draft.rules import (
    POOL_OFFSETS,
    POOL_SIZE,
    POOL_SLICES,
    POSITION_OF,
    QB,
    RB,
    TE,
    WEEKS,
    WR,
    Bools,
    Floats,
    Ints,
)

TALENT_SD = np.array([0.21, 0.40, 0.26, 0.31, 0.12, 0.18], np.float32)
"""How far a season's true mean lies from what was known before it, as a standard deviation of logs, by position."""
WEEKLY_SD_POWER = np.array([0.25, 0.41, 0.57, 0.46, 0.25, 0.25], np.float32)
WEEKLY_SD_LOG = np.array([1.28, 0.92, 0.55, 0.78, 0.72, 1.15], np.float32)
"""The standard deviation of a week is exp(log) * mean ** power; NFL box scores 2009-2019."""
WEEKLY_CV_RANGE = (0.15, 1.2)
INJURY_RATE = np.array([0.025, 0.06, 0.035, 0.045, 0.005, 0.0], np.float32)
"""The chance of being hurt before a week, by position: top players of one year miss 2 to 4 games of the next."""
RECOVERY_RATE = np.float32(0.25)
PASSING_CORRELATIONS = ((WR, 0.37), (TE, 0.31), (RB, 0.09))
"""Of a quarterback's week with that of his team's first receiver, tight end and back. Receivers among
themselves are uncorrelated, so the quarterback's noise is a sum of theirs and not the other way round."""


class PassingGame:
    """Who catches whose passes in each league: what ties a quarterback's week to his team-mates'."""

    def __init__(self, pool: Pool) -> None:
        self.quarterbacks_team_L_Q = pool.nfl_teams_L_P[:, POOL_SLICES[QB]].astype(np.int64)
        self.targets = [
            (_first_of_teams(pool, position), np.float32(correlation))
            for position, correlation in PASSING_CORRELATIONS
        ]

    def share_weeks(self, z_L_W_P: Floats) -> None:
        """Mix the targets' standard normal weeks into their quarterbacks', in place; variances stay one."""
        leagues = len(z_L_W_P)
        rows = np.arange(leagues)[:, None]
        quarterbacks = z_L_W_P[:, :, POOL_SLICES[QB]]
        mixed, explained = np.zeros_like(quarterbacks), np.zeros((leagues, quarterbacks.shape[2]), np.float32)
        for first_L_T, correlation in self.targets:
            target_L_Q = first_L_T[rows, self.quarterbacks_team_L_Q]
            weight_L_Q = np.where(target_L_Q >= 0, correlation, np.float32(0))
            weeks = np.take_along_axis(z_L_W_P, np.maximum(target_L_Q, 0)[:, None, :], axis=2)
            mixed += weight_L_Q[:, None] * weeks
            explained += weight_L_Q**2
        quarterbacks *= np.sqrt(1 - explained)[:, None]
        quarterbacks += mixed


def _first_of_teams(pool: Pool, position: int) -> Ints:
    """Each NFL team's best player of a position, (L, NFL_TEAMS); -1 where the pool has none."""
    teams = pool.nfl_teams_L_P[:, POOL_SLICES[position]].astype(np.int64)
    players = np.arange(POOL_OFFSETS[position], POOL_OFFSETS[position + 1])
    first = np.full((len(pool), NFL_TEAMS), POOL_SIZE)
    np.minimum.at(first, (np.arange(len(pool))[:, None], teams), players)
    first[:, FREE_AGENT] = POOL_SIZE
    return np.where(first < POOL_SIZE, first, -1)


def draw_season(pool: Pool, passing: PassingGame, rng: np.random.Generator) -> Floats:
    """The weekly points of every player of one simulated season, (L, WEEKS, P); NaN where he sits out."""
    leagues = len(pool)
    means = _true_means(pool, rng.standard_normal((leagues, POOL_SIZE), dtype=np.float32))
    z = rng.standard_normal((leagues, WEEKS, POOL_SIZE), dtype=np.float32)
    passing.share_weeks(z)
    points = skewed_weeks(means, z)
    plays = _plays(pool, rng.random((leagues, WEEKS, POOL_SIZE), dtype=np.float32))
    np.copyto(points, np.float32(np.nan), where=~plays)
    return points


def _true_means(pool: Pool, z_L_P: Floats) -> Floats:
    sd = TALENT_SD[POSITION_OF]
    expected = np.log(pool.projections_L_P) + np.float32(MARKET_WEIGHT) * pool.disagreement_L_P
    return np.exp(expected + sd * z_L_P - sd**2 / 2)


def skewed_weeks(means_L_P: Floats, z_L_W_P: Floats) -> Floats:
    """Gamma-distributed weeks from standard normal ones (Wilson & Hilferty 1931); `z_L_W_P` is used up."""
    sd = np.exp(WEEKLY_SD_LOG[POSITION_OF]) * means_L_P ** WEEKLY_SD_POWER[POSITION_OF]
    cv = np.clip(sd / means_L_P, *WEEKLY_CV_RANGE)
    z_L_W_P *= (cv / 3)[:, None]
    z_L_W_P += (1 - cv**2 / 9)[:, None]
    points = z_L_W_P * z_L_W_P
    points *= z_L_W_P
    points *= means_L_P[:, None]
    return points


def _plays(pool: Pool, luck_L_W_P: Floats) -> Bools:
    """Who is neither hurt nor on his bye, (L, WEEKS, P)."""
    falls = luck_L_W_P < INJURY_RATE[POSITION_OF]
    stays = luck_L_W_P > RECOVERY_RATE
    plays = np.empty(luck_L_W_P.shape, bool)
    hurt = np.zeros(falls[:, 0].shape, bool)
    for week in range(WEEKS):
        hurt = np.where(hurt, stays[:, week], falls[:, week])
        plays[:, week] = ~hurt & (pool.bye_weeks_L_P != week + 1)
    return plays
