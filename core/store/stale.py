"""Snapshots whose rewards are others by now."""

from collections.abc import Sequence

import psycopg

MARK = """
    UPDATE overnight.snapshots s SET stale_since = now()
    WHERE stale_since IS NULL AND EXISTS (
        SELECT FROM overnight.snapshot_subjects part, unnest(part.subjects) AS used(subject)
            JOIN unnest(%(subjects)s::bigint[]) AS changed(subject) USING (subject)
        WHERE part.snapshot = s.sha256 AND part.spec = %(spec)s
    )
"""


def mark_stale(held: psycopg.Connection, spec: int, subjects: Sequence[int]) -> int:
    """Note which snapshots were made of rewards that changed; how many. Raises: psycopg.Error."""
    if not subjects:
        return 0
    return held.execute(MARK, {"spec": spec, "subjects": list(subjects)}).rowcount
