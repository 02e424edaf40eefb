"""How far something that is read again and again was read: moved in the transaction of what was read."""

from typing import Any

import psycopg
from psycopg.types.json import Jsonb


def watermark(held: psycopg.Connection, name: str) -> dict[str, Any] | None:
    """Where the last reader ended, or None before the first. Raises: psycopg.Error."""
    row = held.execute("SELECT position FROM overnight.watermarks WHERE name = %s", (name,)).fetchone()
    return None if row is None else row[0]


def move_watermark(held: psycopg.Connection, name: str, position: dict[str, Any]) -> None:
    """Note where this reader ended. Raises: psycopg.Error."""
    query = """
        INSERT INTO overnight.watermarks (name, position) VALUES (%s, %s)
        ON CONFLICT (name) DO UPDATE SET position = excluded.position, moved_at = now()
    """
    held.execute(query, (name, Jsonb(position)))
