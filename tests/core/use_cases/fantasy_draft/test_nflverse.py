"""nflverse tables as boards, without a download."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from core.errors import SourceError
from core.use_cases.fantasy_draft.nflverse import nflverse_players
from core.use_cases.fantasy_draft.rules import POOL_COUNTS, POSITIONS

TEAMS = [f"T{n:02d}" for n in range(32)]
SEASON = 2024


def _player_stats(seasons: Sequence[int]) -> list[dict]:
    return [
        {
            "player_id": f"00-{position}{n}",
            "player_display_name": f"{position} {n}",
            "position": position,
            "team": TEAMS[n % 32],
            "season": season,
            "week": week,
            "season_type": kind,
            "fantasy_points_ppr": 0.0 if position == "K" else 20 / (1 + n / 20),
            "fg_made": 2 if position == "K" else None,
            "pat_made": 3 if position == "K" else None,
        }
        for season in seasons
        for position, count in zip(POSITIONS[:5], POOL_COUNTS[:5], strict=True)
        for n in range(count)
        for week, kind in ((1, "REG"), (2, "REG"), (20, "POST"))
    ]


def _tables(table: str, seasons: Sequence[int]) -> "pl.DataFrame":
    assert SEASON not in seasons or table not in {"player_stats", "team_stats"}, "not played, so not there"
    match table:
        case "player_stats":
            rows = _player_stats(seasons)
        case "team_stats":
            rows = [
                {
                    "team": team,
                    "season": season,
                    "week": week,
                    "season_type": "REG",
                    "def_sacks": n % 4,
                    "def_interceptions": 1,
                    "fumble_recovery_opp": 1,
                    "def_tds": 0,
                    "special_teams_tds": 1,
                    "def_safeties": 0,
                }
                for season in seasons
                if season < SEASON
                for week in (1, 2)
                for n, team in enumerate(TEAMS)
            ]
        case "schedules":
            rows = [
                {
                    "season": season,
                    "week": week,
                    "game_type": "REG",
                    "home_team": TEAMS[n],
                    "away_team": TEAMS[n + 1],
                    "home_score": None if season == SEASON else 21,
                    "away_score": None if season == SEASON else 0,
                }
                for season in seasons
                for week in (1, 2, *range(4, 18))
                for n in range(0, 32, 2)
            ]
        case "ff_rankings":
            rows = [
                {"id": "1", "page_type": "redraft-overall", "ecr": 1.5, "scrape_date": f"{SEASON}-08-30"},
                {"id": "2", "page_type": "redraft-overall", "ecr": 1.2, "scrape_date": f"{SEASON}-07-30"},
                {"id": "2", "page_type": "redraft-overall", "ecr": 2.5, "scrape_date": f"{SEASON}-08-30"},
                {"id": "3", "page_type": "redraft-overall", "ecr": 1.0, "scrape_date": f"{SEASON}-11-30"},
                {"id": "3", "page_type": "dynasty-overall", "ecr": 1.0, "scrape_date": f"{SEASON}-08-30"},
            ]
        case _:
            rows = [{"fantasypros_id": n, "gsis_id": f"00-TE{n}"} for n in (1, 2, 3)]
    return pl.DataFrame(rows, infer_schema_length=None)


def test_tables_become_a_board():
    """Regular weeks only; kickers by goals, defences by play and points allowed; ranks of late August as ADP."""
    source = nflverse_players([SEASON], _tables)
    board = source.boards[0]

    players = {player.id: player for player in board.players}
    assert [board.players[i].id for i in np.argsort(board.adp_P)[:2]] == ["00-TE1", "00-TE2"]
    assert "consensus rank" in source.adp_method
    assert players["00-QB0"].bye_week == 3
    # Two games a season of 20, weights 1, 0.5 and 0.25; six games of 12 to shrink by.
    assert players["00-QB0"].projected_points == pytest.approx((3.5 * 20 + 6 * 12) / (3.5 + 6))
    assert players["00-K0"].projected_points == pytest.approx((3.5 * 9 + 6 * 7) / (3.5 + 6))
    # Two sacks, two takeaways, a return and a shutout; the visitors, with 21 points allowed, are not good enough.
    assert players["DST-T30"].projected_points == pytest.approx((3.5 * (2 + 4 + 6 + 10) + 6 * 6) / (3.5 + 6))
    assert "DST-T31" not in players
    assert board.actual_W_P is None


def test_other_ranks_than_last_augusts_are_not_used():
    """Without ranks of the season's own summer the market is made up, and the report says so."""

    def without(table, seasons):
        frame = _tables(table, seasons)
        return frame.filter(pl.col("scrape_date") > "2025") if table == "ff_rankings" else frame

    assert "made up" in nflverse_players([SEASON], without).adp_method


def test_a_table_that_lacks_a_column_is_told():
    """Schemas change upstream: the message names table and column."""

    def old(table, seasons):
        frame = _tables(table, seasons)
        return frame.drop("player_display_name") if table == "player_stats" else frame

    with pytest.raises(SourceError, match="'player_stats' lacks player_display_name: its schema changed"):
        nflverse_players([SEASON], old)
