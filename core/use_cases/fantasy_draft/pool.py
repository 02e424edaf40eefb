"""The players of many leagues as arrays: what the simulator, the policies and the prompt read."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, Self

import numpy as np

from core.use_cases.fantasy_draft.rules import (
    DST,
    POOL_OFFSETS,
    POOL_SLICES,
    POSITION_OF,
    QB,
    REPLACEMENT_RANKS,
    WAIVER_RANKS,
    WAIVER_SHARE,
    Floats,
    Ints,
    K,
)

MARKET_WEIGHT = 0.5
"""How much of the market's disagreement with the projections is right: as much as it is wrong."""
FREE_AGENT = 32
"""The team number of a player without a team."""
NFL_TEAMS = FREE_AGENT + 1


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """L leagues of P players each, one position after the other, best projection first.

    Points are PPR points a game.
    """

    projections_L_P: Floats
    adp_L_P: Floats
    """Average draft position, from 1."""
    adp_sd_L_P: Floats
    disagreement_L_P: Floats
    """log(market's opinion / projection): hidden from policies, who see only the ADP."""
    nfl_teams_L_P: Ints
    bye_weeks_L_P: Ints
    """From 1; 0 when a player has none."""
    vor_L_P: Floats
    """Value over replacement: the projection minus that of the first player nobody starts."""
    blend_L_P: Floats
    """Geometric mean of the projection and of what the ADP says: the best public guess."""
    blend_ranks_L_P: Ints
    """The place of each player in his position by blend, from 0."""
    waiver_L_6: Floats
    """What an empty slot yields, by position, in blended points."""
    name_ids_L_P: Ints
    boards_L: Ints
    """Which of the source's boards the league plays with."""
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.projections_L_P)

    def name(self, league: int, player: int) -> str:
        """What a person calls this player of this league."""
        return self.names[int(self.name_ids_L_P[league, player])]

    def rows(self, leagues: Ints | slice) -> Self:
        """The pool of some of the leagues, in the order given; a league may be repeated."""
        values = {name: getattr(self, name)[leagues] for name in ARRAYS}
        return type(self)(**values, names=self.names)


ARRAYS = tuple(field.name for field in fields(Pool) if field.name != "names")


class PlayerSource(Protocol):
    """Where leagues get their players from."""

    @property
    def adp_method(self) -> str:
        """How the average draft positions came about, as a sentence for the report."""

    def draw(self, leagues: int, rng: np.random.Generator) -> Pool:
        """The pools of that many leagues, each with its own variation."""

    def actual_points(self, pool: Pool) -> Floats | None:
        """What the pool's players really scored in the season that was drafted for, (L, WEEKS, P); None if unknown.

        Points are NaN where a player sat out.
        """


def make_pool(
    projections_L_P: Floats,
    adp_L_P: Floats,
    disagreement_L_P: Floats,
    *,
    nfl_teams_L_P: Ints,
    bye_weeks_L_P: Ints,
    name_ids_L_P: Ints,
    names: Sequence[str],
    boards_L: Ints | None = None,
    adp_sd_L_P: Floats | None = None,
) -> Pool:
    """A pool with what follows from projections and ADP: spread, VOR, blend, waiver levels."""
    projections = projections_L_P.astype(np.float32)
    adp = adp_L_P.astype(np.float32)
    blend = blended(projections, adp)
    return Pool(
        projections_L_P=projections,
        adp_L_P=adp,
        adp_sd_L_P=(adp_spread(adp) if adp_sd_L_P is None else adp_sd_L_P).astype(np.float32),
        disagreement_L_P=disagreement_L_P.astype(np.float32),
        nfl_teams_L_P=nfl_teams_L_P.astype(np.int8),
        bye_weeks_L_P=bye_weeks_L_P.astype(np.int8),
        vor_L_P=value_over_replacement(projections),
        blend_L_P=blend,
        blend_ranks_L_P=_ranks_in_position(-blend).astype(np.uint8),
        waiver_L_6=waiver_levels(blend),
        name_ids_L_P=name_ids_L_P.astype(np.int16),
        names=names,
        boards_L=np.zeros(len(projections), np.int64) if boards_L is None else boards_L,
    )


def join_pools(pools: Sequence[Pool]) -> Pool:
    """Several pools of one source as one."""
    values = {name: np.concatenate([getattr(pool, name) for pool in pools]) for name in ARRAYS}
    return Pool(**values, names=pools[0].names)


def adp_spread(adp: Floats) -> Floats:
    """The usual standard deviation of a draft position: early picks are agreed on, late ones are not."""
    return 1 + 0.11 * adp


def value_over_replacement(points_L_P: Floats) -> Floats:
    """Points minus those of the position's first player that nobody starts, (L, P)."""
    vor = np.empty_like(points_L_P)
    for position, players in enumerate(POOL_SLICES):
        points = points_L_P[:, players]
        rank = REPLACEMENT_RANKS[position]
        replacement = -np.partition(-points, rank - 1, axis=1)[:, rank - 1 : rank]
        vor[:, players] = points - replacement
    return vor


def draft_order(points_L_P: Floats, noise_L_P: Floats) -> Floats:
    """ADP, from 1, of drafters who go by VOR but wait for a quarterback and leave K and DST for the end."""
    value = value_over_replacement(points_L_P) + noise_L_P
    value[:, POOL_SLICES[K]] = 0.3 * value[:, POOL_SLICES[K]] - 4.6
    value[:, POOL_SLICES[DST]] = 0.3 * value[:, POOL_SLICES[DST]] - 4.3
    value[:, POOL_SLICES[QB]] -= 0.9
    return ranks(-value) + 1


def ranks(keys_L_P: Floats) -> Floats:
    """The rank of each key in its row, from 0."""
    order = np.argsort(keys_L_P, axis=1, kind="stable")
    places = np.empty(keys_L_P.shape, np.float32)
    np.put_along_axis(places, order, np.arange(keys_L_P.shape[1], dtype=np.float32)[None], axis=1)
    return places


def _ranks_in_position(keys_L_P: Floats) -> Floats:
    return np.concatenate([ranks(keys_L_P[:, where]) for where in POOL_SLICES], axis=1)


def market_points(projections_L_P: Floats, adp_L_P: Floats) -> Floats:
    """What the ADP says a player will score: the projection at his ADP rank inside his position."""
    at_rank = POOL_OFFSETS[POSITION_OF] + _ranks_in_position(adp_L_P).astype(np.int64)
    return np.take_along_axis(projections_L_P, at_rank, axis=1)


def blended(projections_L_P: Floats, adp_L_P: Floats) -> Floats:
    """The geometric mean of projection and market, weighted by MARKET_WEIGHT."""
    market = market_points(projections_L_P, adp_L_P)
    return np.exp((1 - MARKET_WEIGHT) * np.log(projections_L_P) + MARKET_WEIGHT * np.log(market))


def waiver_levels(blend_L_P: Floats) -> Floats:
    """What a player who is free during the season yields, by position, (L, 6)."""
    starts = np.array([players.start for players in POOL_SLICES])
    return WAIVER_SHARE * blend_L_P[:, starts + WAIVER_RANKS]
