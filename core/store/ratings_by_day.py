"""Ratings out of the store, counted where they lie: what each user thought of each model, day by day."""

from collections.abc import Iterator
from datetime import datetime

import psycopg

from core.experiment.counts import RatedDay
from core.store.bulk import stream

TYPES = ("text", "text", "date", "int8", "int8")
DAYS = """
    SELECT rater_id, model_version, (rated_at AT TIME ZONE 'UTC')::date,
        count(*), count(*) FILTER (WHERE rating = 'up')
    FROM overnight.ratings
    WHERE source = %(source)s AND rated_at < %(until)s AND (%(since)s::timestamptz IS NULL OR rated_at >= %(since)s)
    GROUP BY 1, 2, 3 ORDER BY rater_id COLLATE "C", 3, 2
"""


def rated_days(
    held: psycopg.Connection, source: str, since: datetime | None, until: datetime
) -> Iterator[RatedDay]:
    """A source's ratings from one moment to before another, by user, model version and day (UTC).

    User by user in the order of the bytes of their ids, and of a user day by day; a row at a time in memory. The
    connection can do nothing else until the last one was taken. Raises: psycopg.Error.
    """
    asked = {"source": source, "since": since, "until": until}
    return map(RatedDay._make, stream(held, DAYS, TYPES, asked))
