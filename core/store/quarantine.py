"""Rows that could not be used: kept as they came, with the reason, until they come again and can."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from core.store.bulk import copy_in, staging
from core.value import LONGEST_ID

LARGEST = 64 * 1024
"""Bytes of a row that are kept; of a larger one the beginning."""
COLUMNS = ("source", "external_id", "reason", "detail", "raw", "sha256", "run_id")
TYPES = ("text", "text", "text", "text", "bytea", "text", "text")
INSERT = """
    INSERT INTO overnight.quarantine (source, external_id, reason, detail, raw, sha256, run_id)
    SELECT source, external_id, reason, detail, raw, sha256, run_id FROM pg_temp.quarantined
    ON CONFLICT (source, external_id, reason, sha256) DO UPDATE SET released_at = NULL, run_id = excluded.run_id
"""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row and why it can't be used."""

    source: str
    external_id: str
    reason: str
    """One of a few words, to count by."""
    detail: str
    raw: bytes | None = None


def quarantine(held: psycopg.Connection, rows: Sequence[Unusable], run_id: str | None = None) -> int:
    """Keep unusable rows; how many were given. The same row again is one row. Raises: psycopg.Error."""
    unique = {
        (*map(_plain, (row.source, _cut(row.external_id), row.reason)), _sha256(row)): row for row in rows
    }
    if unique:
        table = staging(held, "quarantine", COLUMNS, "quarantined")
        values = (
            (*key[:3], _plain(row.detail), (row.raw or b"")[:LARGEST], key[3], run_id)
            for key, row in unique.items()
        )
        copy_in(held, table, COLUMNS, TYPES, values)
        held.execute(INSERT)
        held.execute("DROP TABLE pg_temp.quarantined")
    return len(rows)


def release(
    held: psycopg.Connection, source: str, external_ids: Sequence[str], but_for: Sequence[str] = ()
) -> int:
    """Note that rows which were unusable came again and are in use; how many that were.

    Those that were refused for one of the reasons `but_for` stay. Raises: psycopg.Error.
    """
    query = """
        UPDATE overnight.quarantine SET released_at = now()
        WHERE source = %s AND external_id = ANY (%s) AND reason <> ALL (%s) AND released_at IS NULL
    """
    return held.execute(query, (source, [*map(_cut, external_ids)], [*but_for])).rowcount


def _sha256(row: Unusable) -> str:
    return hashlib.sha256(row.raw or b"").hexdigest()


def _cut(name: str) -> str:
    """An id as the index can hold it: a row may be here for its length."""
    return name.encode("utf-8", "replace")[:LONGEST_ID].decode("utf-8", "ignore")


def _plain(words: str) -> str:
    """Text that the database can hold: a row may be here for the letters that it can't."""
    return words.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
