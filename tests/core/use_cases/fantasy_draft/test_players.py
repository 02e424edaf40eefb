"""Players, files of players, and boards made of them."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError, SourceError
from core.use_cases.fantasy_draft.board import BoardPlayers, make_board
from core.use_cases.fantasy_draft.league import play
from core.use_cases.fantasy_draft.player_file import file_players, read_players
from core.use_cases.fantasy_draft.players import Player, parse_players
from core.use_cases.fantasy_draft.policies import vona
from core.use_cases.fantasy_draft.pool import value_over_replacement
from core.use_cases.fantasy_draft.rules import (
    POOL_COUNTS,
    POOL_SIZE,
    POOL_SLICES,
    POSITION_OF,
    POSITIONS,
    WEEKS,
)
from core.use_cases.fantasy_draft.synthetic import NAMES, SyntheticPlayers


def rows(spare: int = 2) -> list[dict]:
    """A complete list of players, and some more of each position than a pool holds."""
    return [
        {
            "id": f"{position}{n}",
            "name": f"{position} number {n}",
            "position": position,
            "team": f"T{n % 32}",
            "bye_week": 5 + n % 8,
            "projected_points": round(20 / (1 + 0.05 * n), 3),
            "adp": 1 + n * 6 + POSITIONS.index(position),
        }
        for position, count in zip(POSITIONS, POOL_COUNTS, strict=True)
        for n in range(count + spare)
    ]


def _with(changes: dict, row: int = 3) -> list[dict]:
    changed = rows()
    changed[row] = changed[row] | changes
    return changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"position": None}, r"list, row 4 \(QB number 3\): has no position: fill the column 'position'"),
        (
            {"position": "LB"},
            r"row 4 \(QB number 3\): position 'LB' is unknown: use one of QB, RB, WR, TE, K, DST",
        ),
        (
            {"projected_points": math.nan},
            r"row 4 \(QB number 3\): projected_points is NaN: give points a game",
        ),
        (
            {"projected_points": 1e300},
            r"projected_points is 1e\+300: give points a game, above zero and at most 100",
        ),
        ({"name": "two\nlines", "position": None}, r"^list, row 4 \(two lines\): has no position"),
        ({"projected_points": -1.5}, r"row 4 \(QB number 3\): projected_points is -1.5: give points a game"),
        (
            {"projected_points": "many"},
            r"row 4 \(QB number 3\): projected_points is many: give points a game",
        ),
        ({"projected_points": None}, r"row 4 \(QB number 3\): has no projected_points"),
        ({"adp": -1}, r"row 4 \(QB number 3\): adp is -1: input should be greater than 0"),
        ({"bye_week": 40}, r"row 4 \(QB number 3\): bye_week is 40"),
        ({"id": "QB0"}, r"list: id 'QB0' occurs 2 times \(rows 1, 4\): give every player an id of his own"),
    ],
)
def test_a_bad_row_is_one_clear_line(changes, message):
    """What is wrong, in which row, and what to do about it."""
    with pytest.raises(DataError, match=message):
        parse_players(_with(changes), "list")


def test_positions_have_several_names():
    """DEF, D/ST, PK and FB are what others call DST, K and RB; other columns are left out."""
    parsed = parse_players(
        [
            {"id": 7, "name": "Bears", "position": "D/ST", "projected_points": 6, "expert": "me"},
            {"id": 8, "name": "Leg", "position": "pk", "projected_points": "8.5", "adp": ""},
            {"id": 9, "name": "Ram", "position": "FB", "projected_points": 2},
        ],
        "list",
    )

    assert [(player.id, player.position, player.adp) for player in parsed] == [
        ("7", "DST", None),
        ("8", "K", None),
        ("9", "RB", None),
    ]


def test_too_few_players_for_the_rosters():
    """Twelve teams need 72 backs to choose from: the message says who is missing and how many there are."""
    few = [row for row in rows(0) if row["id"] != "RB10"]

    with pytest.raises(
        DataError, match=r"mine\.csv: too few players for the rosters: 71 RB, and a league needs 72"
    ):
        make_board(parse_players(few, "mine.csv"), "mine.csv")


def test_json_and_csv_files_hold_the_same_players(tmp_path: Path):
    """Both formats give the same players, and a league can be played with them."""
    as_json, as_csv = tmp_path / "players.json", tmp_path / "players.csv"
    as_json.write_text(json.dumps(rows()))
    with as_csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows()[0])
        writer.writeheader()
        writer.writerows(rows())

    assert read_players(as_json) == read_players(as_csv)
    source = file_players(as_csv)
    assert "players.csv for 252 of 252 players" in source.adp_method
    assert play(vona, 12, 1, 1, source).picks_L_R.shape == (12, 16)


def test_files_that_are_no_lists_of_players(tmp_path: Path):
    """A missing file, no JSON, and JSON of another shape are told apart."""
    path = tmp_path / "players.json"
    with pytest.raises(SourceError, match=r"players\.json can't be read"):
        read_players(path)
    path.write_text("{")
    with pytest.raises(DataError, match=r"players\.json is not JSON"):
        read_players(path)
    path.write_text('{"players": []}')
    with pytest.raises(DataError, match="holds no list of objects"):
        read_players(path)
    path.write_bytes('[{"name": "José"}]'.encode("latin-1"))
    with pytest.raises(DataError, match=r"players\.json is not UTF-8 text"):
        read_players(path)


def test_a_csv_may_quote_what_it_likes(tmp_path: Path):
    """A quoted field with a line's end inside is one field; a field no CSV can have is told."""
    path = tmp_path / "players.csv"
    path.write_text('name,position,projected_points\n"Two\nLines",QB,20\n')
    assert [player.name for player in read_players(path)] == ["Two\nLines"]
    path.write_text(f'name,position,projected_points\n"{"x" * 200_000}",QB,20\n')
    with pytest.raises(DataError, match=r"players\.csv is not CSV"):
        read_players(path)


def test_a_nan_in_a_file_is_found(tmp_path: Path):
    """JSON's NaN is no projection; the message names the file and the row."""
    path = tmp_path / "players.json"
    path.write_text(json.dumps(_with({"projected_points": math.nan})))

    with pytest.raises(DataError, match=r"players\.json, row 4 \(QB number 3\): projected_points is NaN"):
        read_players(path)


def test_every_league_sees_its_own_variation_of_a_board():
    """Names stay, numbers move: projections by some percent, the ADP by some places, and the order follows."""
    source = BoardPlayers([make_board(parse_players(rows(), "list"), "list")], "as listed")
    pool = source.draw(50, np.random.default_rng(1))

    assert len({tuple(adp) for adp in pool.adp_L_P}) == 50
    for where in POOL_SLICES:
        assert (np.diff(pool.projections_L_P[:, where], axis=1) <= 0).all()
    for league in (0, 49):
        names = [pool.name(league, player) for player in range(POOL_SIZE)]
        assert len(set(names)) == POOL_SIZE
        assert [name.split()[0] for name in names] == [POSITIONS[p] for p in POSITION_OF]
    best = np.array([[pool.name(league, 0) for league in range(50)]])
    assert 1 < len(np.unique(best)) < 12
    assert 0.05 < pool.disagreement_L_P.std() < 0.3


def test_without_adp_the_market_follows_the_projections():
    """Players nobody ranked come last, by projection; the second board's players can be told apart."""
    listed = [row | {"adp": None} for row in rows()]
    listed[100]["adp"] = 1.0
    board = make_board(parse_players(listed, "list"), "list")

    order = np.argsort(board.adp_P)
    assert board.players[order[0]].id == listed[100]["id"]
    rest = board.projections_P[order[1:]]
    assert (np.diff(rest) <= 0).all()


def test_real_points_follow_their_players_into_every_league():
    """What a player scored belongs to his name, wherever the league's projections put him."""
    actual = {row["id"]: {1: float(n), 3: -1.0} for n, row in enumerate(rows())}
    board = make_board(parse_players(rows(), "list"), "list", actual)
    source = BoardPlayers([board], "as listed")
    pool = source.draw(4, np.random.default_rng(1))

    points = source.actual_points(pool)

    number = {row["name"]: float(n) for n, row in enumerate(rows())}
    assert points.shape == (4, WEEKS, POOL_SIZE)
    assert points[2, 0].tolist() == [number[pool.name(2, player)] for player in range(POOL_SIZE)]
    assert (points[:, 2] == -1).all()
    assert np.isnan(points[:, 1]).all()
    tournament = play(vona, 12, 1, 1, source)
    assert tournament.actual.titles_L_K.shape == (12, 1)
    assert not np.array_equal(
        tournament.actual.points_above_mean_L_K, tournament.simulated.points_above_mean_L_K
    )


def test_synthetic_leagues_are_fresh_and_their_names_fictional():
    """No two leagues share their numbers; nobody has a namesake in his league."""
    pool = SyntheticPlayers().draw(20, np.random.default_rng(0))

    assert len(set(NAMES)) == 4096
    assert all(len(set(ids)) == POOL_SIZE for ids in pool.name_ids_L_P)
    assert len({tuple(row) for row in pool.projections_L_P}) == 20
    assert sorted(pool.adp_L_P[0].tolist()) == list(range(1, POOL_SIZE + 1))
    assert pool.projections_L_P.min() > 0


def test_value_over_replacement_by_hand():
    """The twelfth quarterback is worth 0, the first 11 points more when they fall by one."""
    points = np.zeros((1, POOL_SIZE))
    points[0, :32] = 40 - np.arange(32)

    vor = value_over_replacement(points)

    assert vor[0, [0, 11, 12]].tolist() == [11, 0, -1]


def test_a_player_is_frozen():
    """Records can't change under a board."""
    player = Player(id="1", name="A", position="QB", projected_points=1.0)

    with pytest.raises(ValueError, match="frozen"):
        player.adp = 3
