"""Versions of what rewards are made of, as the ledger knows them."""

import psycopg
from psycopg.types.json import Jsonb

from core.errors import ConfigError
from core.reward import RewardSpec

INSERT = """
    INSERT INTO overnight.reward_specs (use_case, version, spec, sha256) VALUES (%s, %s, %s, %s)
    ON CONFLICT (use_case, version) DO NOTHING
"""


def spec_number(held: psycopg.Connection, use_case: str, spec: RewardSpec) -> int:
    """The number of a use case's version, which stands for one spec for ever.

    Raises: ConfigError when the version stands for another, psycopg.Error.
    """
    held.execute(INSERT, (use_case, spec.version, Jsonb(spec.stored()), spec.sha256))
    query = "SELECT number, sha256 FROM overnight.reward_specs WHERE use_case = %s AND version = %s"
    number, sha256 = held.execute(query, (use_case, spec.version)).fetchone() or (0, "")
    if sha256 != spec.sha256:
        raise ConfigError(
            f"{use_case}: the rewards' version '{spec.version}' stands for other weights, values or deadlines, and the "
            "ledger holds what was computed by them: raise the version, or set them back"
        )
    return int(number)


def version_before(held: psycopg.Connection, use_case: str, number: int) -> tuple[int, str] | None:
    """Number and name of the use case's version before this one that has rewards. Raises: psycopg.Error."""
    query = """
        SELECT number, version FROM overnight.reward_specs s WHERE use_case = %s AND number < %s
            AND EXISTS (SELECT FROM overnight.rewards r WHERE r.spec = s.number)
        ORDER BY number DESC LIMIT 1
    """
    row = held.execute(query, (use_case, number)).fetchone()
    return None if row is None else (row[0], row[1])
