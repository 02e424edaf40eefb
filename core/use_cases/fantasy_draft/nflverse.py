"""Boards from nflverse, which is downloaded with nflreadpy: past seasons for projections, expert ranks for ADP.

What columns count is as nflfastR's `calculate_stats` fills them: kicks are not in a player's fantasy points, and
fumbles returned for a touchdown not in `def_tds`. Schedules name teams as they were called then, rankings as
FantasyPros does.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from core.errors import ConfigError
from core.use_cases.fantasy_draft.board import BoardPlayers, PlayerBoard
from core.use_cases.fantasy_draft.box_scores import points_allowed
from core.use_cases.fantasy_draft.nflverse_tables import (
    Download,
    download_with_nflreadpy,
    need_nflreadpy,
    read_table,
)
from core.use_cases.fantasy_draft.players import POSITION_NAMES
from core.use_cases.fantasy_draft.projections import (
    ADP_METHOD,
    AROUND_IT,
    SEASON_WEIGHTS,
    PlayerSeason,
    Season,
    season_board,
)
from core.use_cases.fantasy_draft.rules import WEEKS

Row = Mapping[str, Any]

FIRST_SEASON = 1999
"""Of player_stats and team_stats."""
RANK_PAGES = ("redraft-overall", "redraft-offense")
"""FantasyPros' ranks for a new team (PPR), and what the same page was called in 2020."""
RANKS_SINCE = (7, 1)
"""Month and day from which ranks speak of the coming season."""
TEAMS: Mapping[str, str] = {"JAC": "JAX", "LAR": "LA", "OAK": "LV", "SD": "LAC", "STL": "LA"}
"""Other abbreviations of a team, and nflverse's own."""

RANKED_ADP_METHOD = (
    "ADP is the expert consensus rank that DynastyProcess kept from the last day before the season (FantasyPros, PPR); "
    f"players without one come after all others, by projection; {AROUND_IT}"
)


def nflverse_seasons() -> range:
    """The seasons that can have a board, up to this year's. Raises: ConfigError when nflreadpy is not installed."""
    need_nflreadpy()
    return range(FIRST_SEASON + len(SEASON_WEIGHTS), datetime.now(UTC).year + 1)


def nflverse_players(seasons: Sequence[int], download: Download | None = None) -> BoardPlayers:
    """Leagues around the boards of these seasons.

    Raises: SourceError when a table can't be had, DataError when it lacks a column, ConfigError for a season without
    a schedule.
    """
    tables = _Tables(download or download_with_nflreadpy, seasons)
    boards = [tables.board(season) for season in seasons]
    ranked = all(tables.ranks_before(season) for season in seasons)
    return BoardPlayers(boards, RANKED_ADP_METHOD if ranked else ADP_METHOD)


class _Tables:
    """The tables of nflverse for some boards, each downloaded once."""

    def __init__(self, download: Download, seasons: Sequence[int]) -> None:
        self._download = download
        years = sorted({season - back for season in seasons for back in range(len(SEASON_WEIGHTS) + 1)})
        games = read_table(download, "schedules", years)
        self._games = games.filter(games["game_type"] == "REG").to_dicts()
        if missing := sorted(set(years) - {game["season"] for game in self._games}):
            raise ConfigError(
                f"nflverse has no schedule of {', '.join(map(str, missing))} yet: choose earlier seasons in "
                "players.train_seasons and players.test_season"
            )
        self._seasons = self._read_seasons(years)
        self._ranks = self._read_ranks(seasons)

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

    def _games_of(self, season: int) -> list[Row]:
        return [game for game in self._games if game["season"] == season]

    def _bye_weeks(self, season: int) -> dict[str, int]:
        busy: dict[str, set[int]] = {}
        for game in self._games_of(season):
            for side in ("home", "away"):
                busy.setdefault(_team(game[f"{side}_team"]), set()).add(game["week"])
        return {team: min(set(range(1, WEEKS + 1)) - weeks, default=0) for team, weeks in busy.items()}

    def _is_over(self, season: int) -> bool:
        """Whether the last week has been played; a game in the middle may have been cancelled."""
        games = self._games_of(season)
        last = max(game["week"] for game in games)
        return all(game["home_score"] is not None for game in games if game["week"] == last)

    def _read_seasons(self, years: Sequence[int]) -> dict[int, Season]:
        """Everybody's points by season; a season that isn't over stays empty."""
        played = [year for year in years if self._is_over(year)]
        seasons: dict[int, dict[str, PlayerSeason]] = {year: {} for year in years}
        for row in self._regular("player_stats", played):
            if row["player_id"] and row["position"] in POSITION_NAMES:
                _add(seasons[row["season"]], row, row["player_display_name"], _player_points(row))
        allowed = {
            (game["season"], game["week"], _team(game[f"{side}_team"])): game[f"{other}_score"]
            for game in self._games
            for side, other in (("home", "away"), ("away", "home"))
        }
        for row in self._regular("team_stats", played):
            team = _team(row["team"])
            given = allowed.get((row["season"], row["week"], team))
            if given is not None:
                defence = {**row, "player_id": _defence_of(team), "position": "DST"}
                _add(seasons[row["season"]], defence, f"{team} defence", _defence_points(row, given))
        return dict(seasons)

    def _regular(self, table: str, seasons: Sequence[int]) -> Sequence[Row]:
        frame = read_table(self._download, table, seasons)
        return frame.filter(frame["season_type"] == "REG").to_dicts()

    def _read_ranks(self, seasons: Sequence[int]) -> dict[int, dict[str, float]]:
        """The last ranks before each season, by our player ids. The table holds all dates, nearly two million rows."""
        frame = read_table(self._download, "ff_rankings", seasons)
        rows = frame.filter(frame["page_type"].is_in(RANK_PAGES)).to_dicts()
        ids = {
            str(row["fantasypros_id"]): row["gsis_id"]
            for row in read_table(self._download, "ff_playerids", seasons).to_dicts()
            if row["fantasypros_id"] is not None and row["gsis_id"]
        }
        return {season: _ranks(rows, ids, *self._summer(season)) for season in seasons}

    def _summer(self, season: int) -> tuple[str, str]:
        """The first and the last day on which ranks speak of a season that has not begun."""
        opening = min(date.fromisoformat(str(game["gameday"])[:10]) for game in self._games_of(season))
        return date(season, *RANKS_SINCE).isoformat(), (opening - timedelta(days=1)).isoformat()


def _ranks(rows: Sequence[Row], ids: Mapping[str, str], first: str, last: str) -> dict[str, float]:
    summer = [row for row in rows if first <= _day(row) <= last and row["ecr"]]
    for page in RANK_PAGES:
        here = [row for row in summer if row["page_type"] == page]
        day = max(map(_day, here), default=None)
        if day is not None:
            return dict(_ranked((row for row in here if _day(row) == day), ids))
    return {}


def _ranked(rows: Iterable[Row], ids: Mapping[str, str]) -> Iterable[tuple[str, float]]:
    for row in rows:
        is_defence = POSITION_NAMES.get(str(row["pos"])) == "DST"
        player = _defence_of(_team(row["team"])) if is_defence else ids.get(str(row["id"]))
        if player:
            yield player, float(row["ecr"])


def _day(row: Row) -> str:
    return str(row["scrape_date"])[:10]


def _team(abbreviation: str | None) -> str:
    return TEAMS.get(abbreviation or "", abbreviation or "")


def _defence_of(team: str) -> str:
    return f"DST-{team}"


def _add(season: dict[str, PlayerSeason], row: Row, name: str, points: float) -> None:
    team, position = _team(row["team"]), POSITION_NAMES[row["position"]]
    player = season.setdefault(row["player_id"], PlayerSeason(row["player_id"], name, position, team))
    player.team = team
    player.points[row["week"]] = points


def _player_points(row: Row) -> float:
    """PPR points as nflverse counts them (four a passing touchdown), which leave kicks out."""
    return float((row["fantasy_points_ppr"] or 0) + 3 * (row["fg_made"] or 0) + (row["pat_made"] or 0))


def _defence_points(row: Row, given: float) -> float:
    """As box scores are scored. A recovered fumble may also be the offence's own: no more of them than were taken."""
    recovered = row["fumble_recovery_opp"] or 0
    takeaways = (row["def_interceptions"] or 0) + recovered
    returned = min(row["fumble_recovery_tds"] or 0, recovered)
    touchdowns = (row["def_tds"] or 0) + (row["special_teams_tds"] or 0) + returned
    return float(
        (row["def_sacks"] or 0) + 2 * takeaways + 6 * touchdowns + 2 * (row["def_safeties"] or 0)
    ) + points_allowed(int(given))
