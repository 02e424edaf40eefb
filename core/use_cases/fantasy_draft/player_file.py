"""Your own list of players, as JSON or CSV."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import DataError, SourceError
from core.use_cases.fantasy_draft.board import BoardPlayers, make_board
from core.use_cases.fantasy_draft.players import Player, parse_players

COLUMNS = "id, name, position, team, bye_week, projected_points, adp, adp_sd"


def file_players(path: Path) -> BoardPlayers:
    """Leagues around the players of a file: a JSON list of objects, or a CSV with a header line.

    Columns are those of `Player`. Raises: SourceError when the file can't be read, DataError for a row that can't
    be used and when there are too few players.
    """
    players = read_players(path)
    ranked = sum(player.adp is not None for player in players)
    adp_method = (
        f"ADP from {path.name} for {ranked} of {len(players)} players, the others after them by projection; "
        "every league draws projections and ADP around the file's"
    )
    return BoardPlayers([make_board(players, str(path))], adp_method)


def read_players(path: Path) -> list[Player]:
    """The players of a file, each checked. Raises: SourceError, DataError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(
            f"{path} can't be read ({error}): set players.path to a JSON or CSV file of players"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}): save it as UTF-8") from error
    rows = _csv_rows(text, path) if path.suffix.lower() == ".csv" else _json_rows(text, path)
    return parse_players(rows, str(path))


def _csv_rows(text: str, path: Path) -> list[Mapping[str, Any]]:
    try:
        return list(csv.DictReader(io.StringIO(text, newline=""), restval=""))
    except csv.Error as error:
        raise DataError(f"{path} is not CSV ({error}): write a header line with {COLUMNS}") from error


def _json_rows(text: str, path: Path) -> list[Mapping[str, Any]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}): write a list of objects with {COLUMNS}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} holds no list of objects: write one object a player, with {COLUMNS}")
    return rows
