"""Snapshots whose decisions or rewards are others by now, until they are read again."""

from collections.abc import Sequence

import psycopg

MARK = """
    WITH RECURSIVE made AS (
        SELECT sha256 FROM overnight.snapshots s WHERE stale_since IS NULL AND EXISTS (
            SELECT FROM overnight.snapshot_subjects part, unnest(part.subjects) AS used(subject)
                JOIN unnest(%(subjects)s::bigint[]) AS changed(subject) USING (subject)
            WHERE part.snapshot = s.sha256 AND part.spec = %(spec)s
        )
        UNION SELECT s.sha256 FROM overnight.snapshots s JOIN made m ON m.sha256 = ANY (s.parents)
    )
    UPDATE overnight.snapshots s SET stale_since = now() FROM made m
    WHERE m.sha256 = s.sha256 AND stale_since IS NULL
"""


def mark_stale(held: psycopg.Connection, spec: int, subjects: Sequence[int]) -> int:
    """Note which snapshots were made of decisions that changed, or whose reward did, and all that was made of those; how many. Raises: psycopg.Error."""
    if not subjects:
        return 0
    return held.execute(MARK, {"spec": spec, "subjects": list(subjects)}).rowcount
