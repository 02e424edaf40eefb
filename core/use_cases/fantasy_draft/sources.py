"""The sources of players by name."""

from functools import cache

from core.use_cases.fantasy_draft.board import BoardPlayers
from core.use_cases.fantasy_draft.config import PlayersSettings
from core.use_cases.fantasy_draft.nflgame import nflgame_players
from core.use_cases.fantasy_draft.nflverse import nflverse_players
from core.use_cases.fantasy_draft.player_file import file_players
from core.use_cases.fantasy_draft.pool import PlayerSource
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers


def open_source(settings: PlayersSettings, *, held_out: bool = False) -> PlayerSource:
    """The players to train on, or those held out for the contest.

    Real seasons are held out whole. A file is one board: there only its variation differs from league to league.
    Raises: ConfigError, SourceError, DataError, as the sources do.
    """
    seasons = (settings.test_season,) if held_out else settings.train_seasons
    match settings.source:
        case "synthetic":
            return SyntheticPlayers()
        case "nflgame":
            return _nflgame(seasons)
        case "nflverse":
            return _nflverse(seasons)
        case "file":
            return file_players(settings.file)


@cache
def _nflgame(seasons: tuple[int, ...]) -> BoardPlayers:
    return nflgame_players(seasons)


@cache
def _nflverse(seasons: tuple[int, ...]) -> BoardPlayers:
    return nflverse_players(seasons)
