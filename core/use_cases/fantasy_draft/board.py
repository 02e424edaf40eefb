"""Real players as a source of leagues: every league sees its own variation of a board, so none can be memorised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.use_cases.fantasy_draft.players import Player, fill_positions
from core.use_cases.fantasy_draft.pool import FREE_AGENT, Pool, adp_spread, make_pool, market_points, ranks
from core.use_cases.fantasy_draft.rules import POOL_SIZE, POOL_SLICES, WEEKS, Floats, Ints
from core.use_cases.fantasy_draft.synthetic import PROJECTION_SD

ADP_JITTER = 0.25
"""How far one league's ADP lies from the board's, in its own standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class PlayerBoard:
    """The players of one season as they stood before it, in the order of a pool."""

    label: str
    players: tuple[Player, ...]
    projections_P: Floats
    adp_P: Floats
    adp_sd_P: Floats
    nfl_teams_P: Ints
    bye_weeks_P: Ints
    actual_W_P: Floats | None = None
    """Points of the season itself, NaN where a player sat out; None when it is not known."""


def make_board(
    players: Sequence[Player], label: str, actual: dict[str, dict[int, float]] | None = None
) -> PlayerBoard:
    """A board of the best players of each position. `actual` holds points by player id and week.

    Players nobody gave an ADP come after all who have one, by projection.
    Raises: DataError when there are too few players, or players of too many teams.
    """
    chosen = fill_positions(players, label)
    projections = np.array([player.projected_points for player in chosen])
    adp = _complete_adp(chosen)
    spread = adp_spread(adp)
    return PlayerBoard(
        label=label,
        players=tuple(chosen),
        projections_P=projections,
        adp_P=adp,
        adp_sd_P=np.array([player.adp_sd or sd for player, sd in zip(chosen, spread, strict=True)]),
        nfl_teams_P=_team_numbers(chosen, label),
        bye_weeks_P=np.array([player.bye_week for player in chosen]),
        actual_W_P=None if actual is None else _actual_points(chosen, actual),
    )


def _complete_adp(players: Sequence[Player]) -> Floats:
    known = [player.adp for player in players if player.adp is not None]
    last = max(known, default=0.0)
    missing = [index for index, player in enumerate(players) if player.adp is None]
    missing.sort(key=lambda index: -players[index].projected_points)
    adp = np.array([player.adp or 0.0 for player in players])
    adp[missing] = last + 1 + np.arange(len(missing))
    return adp


def _team_numbers(players: Sequence[Player], label: str) -> Ints:
    teams = sorted({player.team for player in players} - {""})
    if len(teams) > FREE_AGENT:
        raise DataError(
            f"{label}: players of {len(teams)} NFL teams ({', '.join(teams)}), and there are {FREE_AGENT}: "
            "use one abbreviation for each"
        )
    number = {team: index for index, team in enumerate(teams)} | {"": FREE_AGENT}
    return np.array([number[player.team] for player in players])


def _actual_points(players: Sequence[Player], actual: dict[str, dict[int, float]]) -> Floats:
    return np.array(
        [[actual.get(player.id, {}).get(week, np.nan) for player in players] for week in range(1, WEEKS + 1)],
        np.float32,
    )


class BoardPlayers:
    """Leagues around one or more boards. Names stay real; projections and ADP move a little from league to league."""

    def __init__(self, boards: Sequence[PlayerBoard], adp_method: str) -> None:
        self.boards = tuple(boards)
        self.adp_method = adp_method
        self._names = tuple(player.name for board in boards for player in board.players)

    def _stack(self, name: str) -> NDArray[Any]:
        return np.stack([getattr(board, name) for board in self.boards])

    def draw(self, leagues: int, rng: np.random.Generator) -> Pool:
        """The pools of that many leagues; each plays with one of the boards."""
        boards = rng.integers(0, len(self.boards), leagues)
        moved = rng.normal(0, PROJECTION_SD, (leagues, POOL_SIZE))
        projections = self._stack("projections_P")[boards] * np.exp(moved)
        sd = self._stack("adp_sd_P")[boards]
        jitter = ADP_JITTER * sd * rng.standard_normal((leagues, POOL_SIZE))
        adp = ranks(self._stack("adp_P")[boards] + jitter) + 1

        order = _projection_order(projections)
        projections, adp, sd = (
            np.take_along_axis(values, order, axis=1) for values in (projections, adp, sd)
        )
        at = boards[:, None], order
        return make_pool(
            projections,
            adp,
            np.log(market_points(projections, adp) / projections),
            adp_sd_L_P=sd,
            nfl_teams_L_P=self._stack("nfl_teams_P")[at],
            bye_weeks_L_P=self._stack("bye_weeks_P")[at],
            name_ids_L_P=boards[:, None] * POOL_SIZE + order,
            names=self._names,
            boards_L=boards,
        )

    def actual_points(self, pool: Pool) -> Floats | None:
        """What the pool's players scored in their board's season, (L, WEEKS, P); None when a board doesn't know."""
        if any(board.actual_W_P is None for board in self.boards):
            return None
        players = pool.name_ids_L_P.astype(np.int64) % POOL_SIZE
        return np.take_along_axis(self._stack("actual_W_P")[pool.boards_L], players[:, None, :], axis=2)


def _projection_order(projections_L_P: Floats) -> Ints:
    """The players of each position by projection, best first, as places in the board, (L, P)."""
    return np.concatenate(
        [
            where.start + np.argsort(-projections_L_P[:, where], axis=1, kind="stable")
            for where in POOL_SLICES
        ],
        axis=1,
    )
