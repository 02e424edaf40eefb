"""Leagues of fictional players, drawn afresh for every league from constants measured on real ones."""

from dataclasses import dataclass

import numpy as np

from core.use_cases.fantasy_draft.pool import Pool, draft_order, make_pool
from core.use_cases.fantasy_draft.rules import (
    DST,
    POOL_COUNTS,
    POOL_SIZE,
    POOL_SLICES,
    POSITIONS,
    QB,
    RB,
    TE,
    WR,
    Floats,
    Ints,
    K,
)

CURVE_RANKS = (1, 3, 6, 12, 18, 24, 36, 48, 60, 72, 84)
CURVES = {
    QB: (22.5, 21.2, 19.5, 17.9, 16.3, 14.8, 11.0),
    RB: (17.9, 16.6, 15.0, 13.7, 11.9, 10.5, 7.7, 5.0, 3.3, 2.3),
    WR: (18.1, 15.5, 14.4, 12.5, 11.7, 11.0, 9.5, 8.1, 6.9, 5.7, 4.8),
    TE: (13.8, 10.6, 9.0, 7.0, 6.0, 5.2, 3.4),
    K: (8.7, 8.3, 8.0, 7.6, 7.2),
    DST: (7.6, 7.1, 6.7, 6.1, 5.6),
}
"""Mean pre-season projections at CURVE_RANKS of a position, PPR points a game, 2021-2025."""
PROJECTION_SD = 0.07
"""How far one league's projections lie from the curve, as a standard deviation of logs."""
DISAGREEMENT_SD = 0.10
"""How far the market's opinion lies from the projections, as a standard deviation of logs."""
ADP_NOISE = 0.15
"""What moves a player in the ADP for no reason, in points of value."""
REAL_TEAMS = 32

_FIRST = (
    "Abel Aldo Amir Ansel Ari Atlas Bao Basil Beck Bram Cai Caspian Cato Cedro Dario Davi Desh Dov Eero "
    "Elio Emrys Enzo Ezio Faro Fenn Galen Gus Hale Hugo Idris Ike Ilan Ivo Jago Joss Kael Keanu Kofi Lars "
    "Leif Lev Luca Mato Milo Nico Noor Odin Omri Oren Otis Paz Pax Quill Rafi Remy Rio Sami Soren Tavi "
    "Theo Ugo Viggo Wes Zane "
)
_LAST = (
    "Abbott Arden Ashby Balder Barrow Bexley Birch Bosco Calder Carrow Colt Corvin Dane Darrow Dray "
    "Easton Ember Fallow Farrow Finch Galt Garrow Grange Hadley Harrow Hollis Ingle Jarrow Keel Kestrel "
    "Lark Larrow Locke Marlow Marsh Merrow Moss Nash North Oakes Orrin Paxton Pell Pike Quarrow Rook Rowe "
    "Sable Sarrow Shaw Sterne Stroud Tarrow Thorne Tolland Umber Vance Varrow Vesper Wick Wilder Yarrow "
    "York Zeller "
)
NAMES = tuple(f"{first} {last}" for last in _LAST.split() for first in _FIRST.split())


@dataclass(frozen=True, slots=True)
class SyntheticPlayers:
    """A fresh pool for every league: nothing about one league can be memorised for another."""

    @property
    def adp_method(self) -> str:
        """How the average draft positions came about, as a sentence for the report."""
        return (
            "players are fictional; ADP ranks them by the value over replacement of the market's own projections "
            f"(log-normal disagreement, sd {DISAGREEMENT_SD}), quarterbacks later, kickers and defences last"
        )

    def draw(self, leagues: int, rng: np.random.Generator) -> Pool:
        """The pools of that many leagues."""
        projections = _projections(leagues, rng)
        disagreement = rng.normal(0, DISAGREEMENT_SD, (leagues, POOL_SIZE))
        noise = rng.normal(0, ADP_NOISE, (leagues, POOL_SIZE))
        nfl_teams = _nfl_teams(leagues, rng)
        byes = rng.integers(5, 15, (leagues, REAL_TEAMS))
        return make_pool(
            projections,
            draft_order(projections * np.exp(disagreement), noise),
            disagreement,
            nfl_teams_L_P=nfl_teams,
            bye_weeks_L_P=np.take_along_axis(byes, nfl_teams, axis=1),
            name_ids_L_P=_name_ids(leagues, rng),
            names=NAMES,
        )

    def actual_points(self, pool: Pool) -> None:
        """Fictional players have no real season."""


def _projections(leagues: int, rng: np.random.Generator) -> Floats:
    projections = np.empty((leagues, POOL_SIZE))
    for position, players in enumerate(POOL_SLICES):
        curve, count = CURVES[position], POOL_COUNTS[position]
        typical = np.interp(np.arange(1, count + 1), CURVE_RANKS[: len(curve)], curve)
        drawn = typical * np.exp(rng.normal(0, PROJECTION_SD, (leagues, count)))
        projections[:, players] = -np.sort(-drawn, axis=1)
    return projections


def _nfl_teams(leagues: int, rng: np.random.Generator) -> Ints:
    """Every NFL team has one quarterback of the pool; the others fall where they may."""
    columns = [
        rng.permuted(np.tile(np.arange(REAL_TEAMS), (leagues, 1)), axis=1)
        if position == "QB"
        else rng.integers(0, REAL_TEAMS, (leagues, count))
        for position, count in zip(POSITIONS, POOL_COUNTS, strict=True)
    ]
    return np.concatenate(columns, axis=1)


def _name_ids(leagues: int, rng: np.random.Generator) -> Ints:
    """Names that differ inside a league: an odd stride through a power of two meets none twice."""
    start = rng.integers(0, len(NAMES), (leagues, 1))
    stride = 2 * rng.integers(0, len(NAMES) // 2, (leagues, 1)) + 1
    return (start + stride * np.arange(POOL_SIZE)) % len(NAMES)
