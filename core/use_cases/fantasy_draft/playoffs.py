"""From weekly scores to a champion: a round robin, then six teams, byes and reseeding."""

from dataclasses import dataclass

import numpy as np

from core.use_cases.fantasy_draft.rules import PLAYOFF_TEAMS, REGULAR_WEEKS, TEAMS, Bools, Floats, Ints


def round_robin() -> Ints:
    """The opponent of each schedule place in each round, (TEAMS - 1, TEAMS), by the circle method."""
    places = list(range(TEAMS))
    opponents = np.zeros((TEAMS - 1, TEAMS), np.int64)
    for rnd in range(TEAMS - 1):
        opponents[rnd, places] = places[::-1]
        places = [places[0], places[-1], *places[1:-1]]
    return opponents


ROUND_ROBIN = round_robin()


@dataclass(frozen=True, slots=True, eq=False)
class Standings:
    """How a season of L leagues ended."""

    wins_L_T: Floats
    """Of the regular season; a tie is half a win."""
    points_L_T: Floats
    """Scored in the regular season."""
    ranks_L_T: Ints
    """After the regular season, from 0."""
    champions_L: Ints

    @property
    def playoffs_L_T(self) -> Bools:  # noqa: N802
        """Who was among the last six."""
        return self.ranks_L_T < PLAYOFF_TEAMS


def play_season(scores_L_W_T: Floats, luck_L_T: Floats) -> Standings:
    """The standings and the champion; `luck_L_T` deals the places of the schedule."""
    place_L_T = np.argsort(luck_L_T, axis=1, kind="stable")
    wins = count_wins(scores_L_W_T[:, :REGULAR_WEEKS], place_L_T)
    points = scores_L_W_T[:, :REGULAR_WEEKS].sum(axis=1)
    order = np.lexsort((-points, -wins), axis=1)
    ranks = np.argsort(order, axis=1)
    return Standings(
        wins_L_T=wins,
        points_L_T=points,
        ranks_L_T=ranks,
        champions_L=play_off(scores_L_W_T[:, REGULAR_WEEKS:], order, ranks),
    )


def count_wins(scores_L_W_T: Floats, place_L_T: Ints) -> Floats:
    """Wins of each team when the teams hold these places of the schedule, (L, T)."""
    team_at_L_T = np.argsort(place_L_T, axis=1, kind="stable")
    wins = np.zeros(place_L_T.shape)
    for week in range(scores_L_W_T.shape[1]):
        opponents = np.take_along_axis(team_at_L_T, ROUND_ROBIN[week % len(ROUND_ROBIN)][place_L_T], axis=1)
        ours = scores_L_W_T[:, week]
        theirs = np.take_along_axis(ours, opponents, axis=1)
        wins += (ours > theirs) + 0.5 * (ours == theirs)
    return wins


def play_off(scores_L_3_T: Floats, order_L_T: Ints, ranks_L_T: Ints) -> Ints:
    """The champion of three rounds; seeds one and two wait, and the best seed meets the lowest left, (L,)."""
    rows = np.arange(len(order_L_T))

    def winner(week: int, one: Ints, other: Ints) -> Ints:
        return np.where(scores_L_3_T[rows, week, one] >= scores_L_3_T[rows, week, other], one, other)

    first = winner(0, order_L_T[:, 2], order_L_T[:, 5])
    second = winner(0, order_L_T[:, 3], order_L_T[:, 4])
    first_is_lower = ranks_L_T[rows, first] > ranks_L_T[rows, second]
    lower, higher = np.where(first_is_lower, first, second), np.where(first_is_lower, second, first)
    return winner(2, winner(1, order_L_T[:, 0], lower), winner(1, order_L_T[:, 1], higher))
