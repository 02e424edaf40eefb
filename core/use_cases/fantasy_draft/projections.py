"""What players were expected to score before a season, from the seasons before it and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.use_cases.fantasy_draft.board import PlayerBoard, make_board
from core.use_cases.fantasy_draft.players import Player, fill_positions
from core.use_cases.fantasy_draft.pool import draft_order
from core.use_cases.fantasy_draft.rules import Position

SEASON_WEIGHTS = (1.0, 0.5, 0.25)
"""How much a game counts, last season's first."""
MARKET_WEIGHTS = (1.0, 0.0, 0.0)
"""The market remembers last season."""
PRIOR_GAMES = 6.0
PRIOR_POINTS: Mapping[Position, float] = {"QB": 12.0, "RB": 5.0, "WR": 5.0, "TE": 3.5, "K": 7.0, "DST": 6.0}
"""Without games to go by, a player is expected to be replaceable."""
LEAST_POINTS = 0.1
AROUND_IT = (
    "every league draws projections and ADP around that; boards are made of the seasons before alone, so rookies are "
    "missing, and whoever sat out the last one; where the real season is played, managers know who sits out each week"
)
ADP_METHOD = (
    "no draft positions are known for these seasons, so ADP was made up: players by value over replacement of the "
    "geometric mean of their projection (three seasons before, weights 1, 0.5, 0.25, shrunk) and of what last season "
    f"alone says; quarterbacks later, kickers and defences last; {AROUND_IT}"
)


@dataclass(slots=True)
class PlayerSeason:
    """One player's games of one regular season."""

    id: str
    name: str
    position: Position
    team: str
    """The last one of the season."""
    points: dict[int, float] = field(default_factory=dict)
    """PPR points by week; no entry where he did not play."""


Season = Mapping[str, PlayerSeason]


def project(games: Sequence[Mapping[int, float]], position: Position, weights: Sequence[float]) -> float:
    """Expected points a game: past games weighted by season, last one first, and shrunk to replaceable."""
    points = sum(weight * sum(season.values()) for weight, season in zip(weights, games, strict=True))
    count = sum(weight * len(season) for weight, season in zip(weights, games, strict=True))
    return (points + PRIOR_GAMES * PRIOR_POINTS[position]) / (count + PRIOR_GAMES)


def season_board(
    label: str,
    past: Sequence[Season],
    byes: Mapping[str, int],
    adp: Mapping[str, float] | None = None,
    actual: Season | None = None,
) -> PlayerBoard:
    """The board before a season, of everybody who played in the one before it: `past` has the latest season first.

    Without `adp` (by player id) the market's is made up, as `ADP_METHOD` says. Rookies are missing, for they have
    no past. Raises: DataError when a position has too few players.
    """
    players, market = [], {}
    for player in past[0].values():
        games = [season[player.id].points if player.id in season else {} for season in past]
        expected = max(project(games, player.position, SEASON_WEIGHTS), LEAST_POINTS)
        remembered = max(project(games, player.position, MARKET_WEIGHTS), LEAST_POINTS)
        market[player.id] = (expected * remembered) ** 0.5
        players.append(
            Player(
                id=player.id,
                name=player.name,
                position=player.position,
                team=player.team,
                bye_week=byes.get(player.team, 0),
                projected_points=expected,
                adp=(adp or {}).get(player.id),
            )
        )
    chosen = fill_positions(players, label)
    if adp is None:
        chosen = _with_market_adp(chosen, market)
    scored = None if actual is None else {player.id: player.points for player in actual.values()}
    return make_board(chosen, label, scored)


def _with_market_adp(players: Sequence[Player], market: Mapping[str, float]) -> list[Player]:
    """Players in the order of a pool, with the draft positions of a market that goes by last season."""
    points_1_P = np.array([[market[player.id] for player in players]])
    adp_P = draft_order(points_1_P, np.zeros_like(points_1_P))[0]
    return [player.model_copy(update={"adp": float(adp)}) for player, adp in zip(players, adp_P, strict=True)]
