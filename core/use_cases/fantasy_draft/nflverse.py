"""Boards from nflverse, which is downloaded with nflreadpy: past seasons for projections, expert ranks for ADP."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from core.errors import SourceError
from core.use_cases.fantasy_draft.board import BoardPlayers, PlayerBoard
from core.use_cases.fantasy_draft.box_scores import points_allowed
from core.use_cases.fantasy_draft.players import POSITION_NAMES
from core.use_cases.fantasy_draft.projections import (
    ADP_METHOD,
    SEASON_WEIGHTS,
    PlayerSeason,
    Season,
    season_board,
)
from core.use_cases.fantasy_draft.rules import WEEKS

if TYPE_CHECKING:
    from polars import DataFrame

Download: TypeAlias = Callable[[str, Sequence[int]], "DataFrame"]
"""A table of nflverse for some seasons: player_stats, team_stats, schedules, ff_rankings or ff_playerids."""

RANKED_ADP_METHOD = (
    "ADP is the expert consensus rank that DynastyProcess kept from the last day before the season; players without "
    "one come after all others, by projection; every league draws projections and ADP around that"
)
Row = Mapping[str, Any]


def nflverse_players(seasons: Sequence[int], download: Download | None = None) -> BoardPlayers:
    """Leagues around the boards of these seasons. Raises: SourceError when a table can't be had or lacks a column."""
    tables = _Tables(download or download_with_nflreadpy, seasons)
    boards = [tables.board(season) for season in seasons]
    ranked = all(tables.ranks_before(season) for season in seasons)
    return BoardPlayers(boards, RANKED_ADP_METHOD if ranked else ADP_METHOD)


def download_with_nflreadpy(table: str, seasons: Sequence[int]) -> "DataFrame":
    """Fetch one table from the internet. Raises: SourceError."""
    try:
        import nflreadpy  # noqa: PLC0415  (an extra, and only who downloads needs it)
    except ImportError as error:
        raise SourceError(
            "source 'nflverse' needs nflreadpy: run `.venv/bin/python -m pip install -c constraints.txt -e '.[nflverse]'` in Overnight's folder"
        ) from error
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
            f"nflverse table '{table}' for {list(seasons)} can't be downloaded ({error}): check the connection, or "
            "use source 'nflgame' or 'synthetic'"
        ) from error


class _Tables:
    """The tables of nflverse for some boards, each downloaded once."""

    def __init__(self, download: Download, seasons: Sequence[int]) -> None:
        self._download = download
        years = sorted({season - back for season in seasons for back in range(len(SEASON_WEIGHTS) + 1)})
        self._games = self._rows(
            "schedules",
            years,
            ("season", "week", "game_type", "home_team", "away_team", "home_score", "away_score"),
        )
        self._games = [game for game in self._games if game["game_type"] == "REG"]
        going_on = {game["season"] for game in self._games if game["home_score"] is None}
        self._seasons = self._read_seasons(years, [year for year in years if year not in going_on])
        self._ranks = self._read_ranks(seasons)

    def _rows(self, table: str, seasons: Sequence[int], columns: Sequence[str]) -> Sequence[Row]:
        frame = self._download(table, seasons)
        if missing := [column for column in columns if column not in frame.columns]:
            raise SourceError(
                f"nflverse table '{table}' lacks {', '.join(missing)}: its schema changed, update nflreadpy or use "
                "source 'nflgame'"
            )
        return frame.to_dicts()

    def board(self, season: int) -> PlayerBoard:
        """The board before one season, with what the season gave if it has been played."""
        past = [self._seasons[season - back] for back in range(1, len(SEASON_WEIGHTS) + 1)]
        return season_board(
            f"nflverse {season}",
            past,
            self._bye_weeks(season),
            adp=self.ranks_before(season) or None,
            actual=self._seasons[season] or None,
        )

    def ranks_before(self, season: int) -> Mapping[str, float]:
        """Expert ranks by player id; empty when none are kept."""
        return self._ranks[season]

    def _bye_weeks(self, season: int) -> dict[str, int]:
        busy: dict[str, set[int]] = {}
        for game in self._games:
            if game["season"] == season:
                busy.setdefault(game["home_team"], set()).add(game["week"])
                busy.setdefault(game["away_team"], set()).add(game["week"])
        return {team: min(set(range(1, WEEKS + 1)) - weeks, default=0) for team, weeks in busy.items()}

    def _read_seasons(self, years: Sequence[int], played: Sequence[int]) -> dict[int, Season]:
        """Everybody's points by season; a season that isn't over stays empty."""
        seasons: dict[int, dict[str, PlayerSeason]] = {year: {} for year in years}
        columns = (
            "player_id",
            "player_display_name",
            "position",
            "season",
            "week",
            "season_type",
            "fantasy_points_ppr",
        )
        for row in self._rows("player_stats", played, columns):
            if row["season_type"] == "REG" and row["position"] in POSITION_NAMES:
                _add(seasons[row["season"]], row, row["player_display_name"], _player_points(row))
        allowed = {
            (game["season"], game["week"], game[f"{side}_team"]): game[f"{other}_score"]
            for game in self._games
            for side, other in (("home", "away"), ("away", "home"))
        }
        for row in self._rows("team_stats", played, ("season", "week", "team", "season_type", "def_sacks")):
            given = allowed.get((row["season"], row["week"], row["team"]))
            if row["season_type"] == "REG" and given is not None:
                defence = {**row, "player_id": f"DST-{row['team']}", "position": "DST"}
                _add(seasons[row["season"]], defence, f"{row['team']} defence", _defence_points(row, given))
        return dict(seasons)

    def _read_ranks(self, seasons: Sequence[int]) -> dict[int, dict[str, float]]:
        """The last overall redraft ranks of each season's August, by nflverse's own player ids."""
        wanted = ("id", "page_type", "ecr", "scrape_date")
        rows = [
            row for row in self._rows("ff_rankings", seasons, wanted) if row["page_type"] == "redraft-overall"
        ]
        ids = {
            str(row["fantasypros_id"]): row["gsis_id"]
            for row in self._rows("ff_playerids", seasons, ("fantasypros_id", "gsis_id"))
        }
        return {season: _ranks(rows, ids, f"{season}-07-01", f"{season}-09-05") for season in seasons}


def _ranks(rows: Sequence[Row], ids: Mapping[str, str | None], first: str, last: str) -> dict[str, float]:
    dates = {str(row["scrape_date"])[:10] for row in rows}
    day = max((date for date in dates if first <= date <= last), default=None)
    today = [row for row in rows if str(row["scrape_date"])[:10] == day]
    found = ((ids.get(str(row["id"])), row["ecr"]) for row in today)
    return {player: float(rank) for player, rank in found if player and rank}


def _add(season: dict[str, PlayerSeason], row: Row, name: str, points: float) -> None:
    team = row.get("team") or row.get("recent_team") or ""
    position = POSITION_NAMES[row["position"]]
    player = season.setdefault(row["player_id"], PlayerSeason(row["player_id"], name, position, team))
    player.team = team
    player.points[row["week"]] = points


def _player_points(row: Row) -> float:
    kicked = 3 * (row.get("fg_made") or 0) + (row.get("pat_made") or 0)
    return float((row["fantasy_points_ppr"] or 0) + kicked)


def _defence_points(row: Row, given: float) -> float:
    takeaways = (row.get("def_interceptions") or 0) + (row.get("fumble_recovery_opp") or 0)
    touchdowns = (row.get("def_tds") or 0) + (row.get("special_teams_tds") or 0)
    safeties = row.get("def_safeties") or 0
    return float((row["def_sacks"] or 0) + 2 * takeaways + 6 * touchdowns + 2 * safeties) + points_allowed(
        int(given)
    )
