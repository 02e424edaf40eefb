"""nflverse tables as boards, without a download: frames with the columns, types and codes of the real ones."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest

from core.errors import ConfigError, DataError, SourceError
from core.use_cases.fantasy_draft.nflverse import nflverse_players
from core.use_cases.fantasy_draft.nflverse_tables import COLUMNS, download_with_nflreadpy
from core.use_cases.fantasy_draft.rules import POOL_COUNTS, POSITIONS

pl = pytest.importorskip("polars", reason="nflreadpy, and polars with it, is not installed")

SEASON = 2020
"""A season whose schedule has another name for the Raiders than the one before: OAK, then LV."""
TEAMS = [
    "ARI",
    "ATL",
    "BAL",
    "BUF",
    "CAR",
    "CHI",
    "CIN",
    "CLE",
    "DAL",
    "DEN",
    "DET",
    "GB",
    "HOU",
    "IND",
    "JAX",
    "KC",
]
TEAMS += [
    "LA",
    "LAC",
    "LV",
    "MIA",
    "MIN",
    "NE",
    "NO",
    "NYG",
    "NYJ",
    "PHI",
    "PIT",
    "SEA",
    "SF",
    "TB",
    "TEN",
    "WAS",
]


def _types(**columns: str) -> dict:
    return {name: getattr(pl, kind) for kind, names in columns.items() for name in names.split()}


TYPES = {
    "player_stats": _types(
        String="player_id player_name player_display_name position position_group season_type team opponent_team",
        Int32="season week special_teams_tds fg_made pat_made",
        Float64="fantasy_points fantasy_points_ppr",
    ),
    "team_stats": _types(
        String="team season_type opponent_team",
        Int32="season week special_teams_tds def_interceptions def_tds def_safeties "
        "fumble_recovery_own fumble_recovery_opp fumble_recovery_tds",
        Float64="def_sacks",
    ),
    "schedules": _types(
        String="game_id game_type gameday away_team home_team", Int32="season week away_score home_score"
    ),
    "ff_rankings": _types(
        String="fp_page page_type ecr_type player pos team",
        Int64="id bye",
        Float64="ecr sd",
        Date="scrape_date",
    ),
    "ff_playerids": _types(String="gsis_id name", Int64="mfl_id fantasypros_id"),
}
"""Some of the columns of each table, by nflreadr's data dictionaries."""


def _frame(table: str, rows: Sequence[dict]) -> "pl.DataFrame":
    types = TYPES[table]
    return pl.DataFrame([dict.fromkeys(types) | row for row in rows], schema=types)


def _player_stats(seasons: Sequence[int]) -> list[dict]:
    players = [
        {
            "player_id": f"00-{position}{n}",
            "player_display_name": f"{position} {n}",
            "position": "FB" if (position, n) == ("RB", 71) else position,
            "team": TEAMS[n % 32],
            "fantasy_points_ppr": 0.0 if position == "K" else 20 / (1 + n / 20),
            "fg_made": 2 if position == "K" else 0,
            "pat_made": 3 if position == "K" else 0,
        }
        for position, count in zip(POSITIONS[:5], POOL_COUNTS[:5], strict=True)
        for n in range(count)
    ]
    tackler = {"player_id": "00-LB0", "position": "LB", "team": "KC", "fantasy_points_ppr": 90.0}
    nobody = {"team": "KC", "fantasy_points_ppr": 0.0}
    return [
        player | {"season": season, "week": week, "season_type": kind}
        for player in (*players, tackler, nobody)
        for season in seasons
        for week, kind in ((1, "REG"), (2, "REG"), (20, "POST"))
    ]


def _team_stats(seasons: Sequence[int]) -> list[dict]:
    return [
        {
            "team": team,
            "season": season,
            "week": week,
            "season_type": "REG",
            "special_teams_tds": 1,
            "def_sacks": 2.5 if team == "LV" else n % 4,
            "def_interceptions": 1,
            "def_tds": 0,
            "def_safeties": 0,
            "fumble_recovery_opp": 1,
            "fumble_recovery_tds": 2 if team == "LV" else 0,
        }
        for season in seasons
        for week in (1, 2)
        for n, team in enumerate(TEAMS)
    ]


def _schedules(seasons: Sequence[int]) -> list[dict]:
    """Sixteen games a week, the home team winning 21:0; week 3 is everybody's bye, and one game was cancelled."""
    games = [
        {
            "season": season,
            "week": week,
            "game_type": "REG",
            "gameday": f"{season}-09-{9 + week:02d}",
            "home_team": "OAK" if season < 2020 and TEAMS[n] == "LV" else TEAMS[n],
            "away_team": TEAMS[n + 1],
            "home_score": None if season == SEASON else 21,
            "away_score": None if season == SEASON else 0,
        }
        for season in seasons
        for week in (1, 2, *range(4, 18))
        for n in range(0, 32, 2)
    ]
    for game in games:
        if (game["season"], game["week"], game["home_team"]) == (SEASON - 1, 16, "ARI"):
            game |= {"home_score": None, "away_score": None}
    return [
        *games,
        {"season": seasons[0], "week": 18, "game_type": "WC", "home_team": "KC", "away_team": "BUF"},
    ]


def _rankings() -> list[dict]:
    def rank(fp_id, ecr, day, page="redraft-overall", **more):
        of = {"id": fp_id, "pos": "TE", "team": "KC", "ecr": ecr, "page_type": page, "scrape_date": day}
        return of | more

    august, opening = date(SEASON, 8, 28), date(SEASON, 9, 10)
    return [
        rank(1, 1.5, august),
        rank(2, 1.2, date(SEASON, 7, 31)),
        rank(2, 2.5, august),
        rank(8140, 3.5, august, pos="DST", team="JAC"),
        rank(None, 1.0, august),
        rank(3, 1.0, opening),
        rank(3, 1.0, date(SEASON, 6, 30)),
        rank(3, 1.0, august, "redraft-idp"),
        rank(3, 1.0, august, "dynasty-overall"),
    ]


def _tables(table: str, seasons: Sequence[int]) -> "pl.DataFrame":
    assert SEASON not in seasons or table not in {"player_stats", "team_stats"}, "not played, so not there"
    match table:
        case "player_stats":
            return _frame(table, _player_stats(seasons))
        case "team_stats":
            return _frame(table, _team_stats(seasons))
        case "schedules":
            return _frame(table, _schedules(seasons))
        case "ff_rankings":
            return _frame(table, _rankings())
    ids = [{"fantasypros_id": n, "gsis_id": f"00-TE{n}"} for n in (1, 2, 3)]
    return _frame(table, [*ids, {"gsis_id": "00-TE4"}, {"fantasypros_id": 3}])


def test_tables_become_a_board():
    """Regular weeks only; kickers by goals, defences by play and points allowed; full backs are backs."""
    source = nflverse_players([SEASON], _tables)
    board = source.boards[0]

    players = {player.id: player for player in board.players}
    assert players["00-QB0"].bye_week == 3
    # Two games a season of 20, weights 1, 0.5 and 0.25; six games of 12 to shrink by.
    assert players["00-QB0"].projected_points == pytest.approx((3.5 * 20 + 6 * 12) / (3.5 + 6))
    assert players["00-K0"].projected_points == pytest.approx((3.5 * 9 + 6 * 7) / (3.5 + 6))
    assert players["00-RB71"].position == "RB"
    assert board.actual_W_P is None


def test_a_defence_has_its_returns_under_any_name_of_its_team():
    """Oakland's schedule is Las Vegas's defence; a fumble taken and returned counts, an own one in the end zone not."""
    board = nflverse_players([SEASON], _tables).boards[0]
    players = {player.id: player for player in board.players}

    # Two and a half sacks, two takeaways, a kick and a fumble returned, and a shutout.
    projected = (3.5 * (2.5 + 4 + 6 + 6 + 10) + 6 * 6) / (3.5 + 6)
    assert players["DST-LV"].projected_points == pytest.approx(projected)
    assert players["DST-LV"].bye_week == 3
    # The visitors, with 21 points allowed, are not good enough.
    assert "DST-ATL" not in players


def test_ranks_of_the_last_day_before_the_season_become_the_adp():
    """Of the overall page for new teams; defences go by their team, whatever the ranks call it."""
    source = nflverse_players([SEASON], _tables)
    board = source.boards[0]

    first = [board.players[i].id for i in np.argsort(board.adp_P)[:3]]
    assert first == ["00-TE1", "00-TE2", "DST-JAX"]
    assert "consensus rank" in source.adp_method
    assert "rookies are missing" in source.adp_method


def test_the_page_of_2020_had_another_name():
    """The overall page was called redraft-offense that summer; it is taken when the overall one has no ranks."""

    def renamed(table, seasons):
        frame = _tables(table, seasons)
        if table != "ff_rankings":
            return frame
        return frame.with_columns(pl.col("page_type").replace("redraft-overall", "redraft-offense"))

    board = nflverse_players([SEASON], renamed).boards[0]
    assert [board.players[i].id for i in np.argsort(board.adp_P)[:2]] == ["00-TE1", "00-TE2"]


def test_other_ranks_than_last_summers_are_not_used():
    """Without ranks of the season's own summer the market is made up, and the report says so."""

    def without(table, seasons):
        frame = _tables(table, seasons)
        opening = date(SEASON, 9, 10)
        return frame.filter(pl.col("scrape_date") >= opening) if table == "ff_rankings" else frame

    assert "made up" in nflverse_players([SEASON], without).adp_method


def test_a_season_that_was_played_is_known():
    """A game in the middle that never took place does not make the season unfinished."""
    board = nflverse_players([SEASON - 1], _tables).boards[0]
    place = [player.id for player in board.players].index("00-QB0")

    assert board.actual_W_P[:2, place].tolist() == [20, 20]
    assert np.isnan(board.actual_W_P[2:, place]).all()


def test_a_season_without_a_schedule_is_refused():
    """Next year's boards can't be made before the league has said who plays when."""

    def unscheduled(table, seasons):
        frame = _tables(table, seasons)
        return frame.filter(pl.col("season") < SEASON) if table == "schedules" else frame

    with pytest.raises(ConfigError, match=f"no schedule of {SEASON} yet: choose earlier seasons"):
        nflverse_players([SEASON], unscheduled)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_that_lacks_a_column_is_told(table):
    """Schemas change upstream: the message names table and column, and trying again would not help."""
    last = COLUMNS[table][-1]

    def old(asked, seasons):
        frame = _tables(asked, seasons)
        return frame.drop(last) if asked == table else frame

    with pytest.raises(DataError, match=f"'{table}' lacks {last}: its schema changed"):
        nflverse_players([SEASON], old)


def test_no_connection_is_a_passing_reason(monkeypatch):
    """A table that can't be fetched now may be fetched later: nflreadpy's own loaders, and an address nobody answers."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    for table in COLUMNS:
        with pytest.raises(SourceError, match=f"nflverse table '{table}' for .2019. can't be downloaded"):
            download_with_nflreadpy(table, [2019])
