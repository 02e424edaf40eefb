"""Players as people list them: one record each, checked before anybody drafts."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError, field_validator

from core.errors import DataError
from core.record import Record
from core.use_cases.fantasy_draft.rules import POOL_COUNTS, POSITIONS, WEEKS, Position

POSITION_NAMES: Mapping[str, Position] = {
    "FB": "RB",
    "HB": "RB",
    "PK": "K",
    "DEF": "DST",
    "D/ST": "DST",
    "DST": "DST",
    **{position: position for position in POSITIONS},
}
"""What sources call positions."""


MOST_POINTS = 100.0
"""A game: about twice what anybody ever had."""


class Player(Record):
    """Somebody who can be drafted. Points are PPR points a game."""

    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    position: Position
    team: str = ""
    """Abbreviation of his NFL team; empty for a free agent."""
    bye_week: int = Field(default=0, ge=0, le=WEEKS)
    """0 when he has none."""
    projected_points: float = Field(gt=0, le=MOST_POINTS, allow_inf_nan=False)
    adp: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Average draft position, from 1; None when nobody says."""
    adp_sd: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @field_validator("position", mode="before")
    @classmethod
    def _position(cls, value: object) -> object:
        return POSITION_NAMES.get(value.strip().upper(), value) if isinstance(value, str) else value


def parse_players(rows: Iterable[Mapping[str, Any]], where: str) -> list[Player]:
    """Rows as players; `where` names their file for messages. Unknown columns are left out.

    Raises: DataError for the first row that can't be used, or for an id that occurs twice.
    """
    players = [_parse(row, f"{where}, row {number}") for number, row in enumerate(rows, start=1)]
    for player_id, times in Counter(player.id for player in players).items():
        if times > 1:
            numbers = [str(n) for n, player in enumerate(players, start=1) if player.id == player_id]
            raise DataError(
                f"{where}: id {player_id!r} occurs {times} times (rows {', '.join(numbers)}): "
                "give every player an id of his own"
            )
    return players


def _parse(row: Mapping[str, Any], where: str) -> Player:
    known = {
        name: row[name]
        for name in Player.model_fields
        if name in row and row[name] is not None and row[name] != ""
    }
    known |= {name: str(known[name]) for name in ("id", "name") if name in known}
    known.setdefault("id", known.get("name", ""))
    try:
        return Player(**known)
    except ValidationError as error:
        first = error.errors()[0]
        who = " ".join(str(known.get("name") or known["id"] or "no name").split())
        raise DataError(f"{where} ({who}): {_remedy(str(first['loc'][0]), first, known)}") from error


def _remedy(column: str, problem: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if column not in known:
        return f"has no {column}: fill the column '{column}'"
    value = known[column]
    if column == "position":
        return f"position '{value}' is unknown: use one of {', '.join(POSITIONS)}"
    if column == "projected_points":
        shown = "NaN" if isinstance(value, float) and math.isnan(value) else value
        return f"projected_points is {shown}: give points a game, above zero and at most {MOST_POINTS:g}"
    return f"{column} is {value!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def fill_positions(players: Sequence[Player], where: str) -> list[Player]:
    """The players a league's pool has room for, one position after the other, best projection first.

    Raises: DataError when a position has too few for twelve rosters.
    """
    chosen: list[Player] = []
    for position, count in zip(POSITIONS, POOL_COUNTS, strict=True):
        ranked = sorted(
            (player for player in players if player.position == position),
            key=lambda player: (-player.projected_points, player.id),
        )
        if len(ranked) < count:
            raise DataError(
                f"{where}: too few players for the rosters: {len(ranked)} {position}, and a league needs {count}; "
                "add players, down to those who go undrafted"
            )
        chosen += ranked[:count]
    return chosen
