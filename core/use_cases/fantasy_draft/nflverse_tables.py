"""The tables of nflverse: what is read of each, and the download with nflreadpy.

Columns follow nflreadr's data dictionaries `player_stats`, `team_stats`, `schedules`, `ff_rankings` and
`ff_playerids` (nflreadr.nflverse.com/articles).
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

from core.errors import ConfigError, DataError, SourceError, one_line

if TYPE_CHECKING:
    from polars import DataFrame

Download: TypeAlias = Callable[[str, Sequence[int]], "DataFrame"]
"""A table of nflverse for some seasons: player_stats, team_stats, schedules, ff_rankings or ff_playerids."""

PACKAGE = "nflreadpy"
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "player_stats": (
        "player_id",
        "player_display_name",
        "position",
        "team",
        "season",
        "week",
        "season_type",
        "fantasy_points_ppr",
        "fg_made",
        "pat_made",
    ),
    "team_stats": (
        "team",
        "season",
        "week",
        "season_type",
        "def_sacks",
        "def_interceptions",
        "def_tds",
        "def_safeties",
        "special_teams_tds",
        "fumble_recovery_opp",
        "fumble_recovery_tds",
    ),
    "schedules": (
        "season",
        "week",
        "game_type",
        "gameday",
        "home_team",
        "away_team",
        "home_score",
        "away_score",
    ),
    "ff_rankings": ("id", "pos", "team", "page_type", "ecr", "scrape_date"),
    "ff_playerids": ("fantasypros_id", "gsis_id"),
}
"""What is read of each table."""


def need_nflreadpy() -> None:
    """Raises: ConfigError when nflreadpy is not installed."""
    if find_spec(PACKAGE) is None:
        raise ConfigError(
            "source 'nflverse' needs nflreadpy: run `.venv/bin/python -m pip install -c constraints.txt "
            "-e '.[nflverse]'` in Overnight's folder"
        )


def download_with_nflreadpy(table: str, seasons: Sequence[int]) -> "DataFrame":
    """Fetch one table from the internet. Raises: SourceError, ConfigError."""
    need_nflreadpy()
    import nflreadpy  # noqa: PLC0415  (an extra, and only who downloads needs it)

    loaders: dict[str, Callable[[], DataFrame]] = {
        "player_stats": lambda: nflreadpy.load_player_stats(list(seasons), summary_level="week"),
        "team_stats": lambda: nflreadpy.load_team_stats(list(seasons), summary_level="week"),
        "schedules": lambda: nflreadpy.load_schedules(list(seasons)),
        "ff_rankings": lambda: nflreadpy.load_ff_rankings("all"),
        "ff_playerids": nflreadpy.load_ff_playerids,
    }
    try:
        return loaders[table]()
    except (OSError, ValueError) as error:
        raise SourceError(
            f"nflverse table '{table}' for {list(seasons)} can't be downloaded ({one_line(error)}): check the "
            "connection, or use source 'nflgame' or 'synthetic'"
        ) from error


def read_table(download: Download, table: str, seasons: Sequence[int]) -> "DataFrame":
    """The columns we know of a table. Raises: SourceError, DataError when one is missing."""
    frame = download(table, seasons)
    if missing := [column for column in COLUMNS[table] if column not in frame.columns]:
        raise DataError(
            f"nflverse table '{table}' lacks {', '.join(missing)}: its schema changed, update nflreadpy or use source "
            "'nflgame'"
        )
    return frame.select(COLUMNS[table])
