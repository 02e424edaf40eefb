"""How many ratings there are, and what they are good for."""

from collections.abc import Iterator
from typing import ClassVar

from core.record import Record
from core.store.engine import connection

COUNTS = """
    SELECT (SELECT count(*) FROM overnight.rated_entries WHERE source = %(source)s), count(*), count(DISTINCT rater_id),
        count(*) FILTER (WHERE rating = 'up'), count(*) FILTER (WHERE rating = 'down'),
        count(*) FILTER (WHERE revision > 1), count(*) FILTER (WHERE used_at IS NULL), max(rated_at)::text
    FROM overnight.ratings WHERE source = %(source)s
"""
DIVIDED = """
    SELECT count(*) FROM (
        SELECT FROM overnight.ratings WHERE source = %s GROUP BY entry_id HAVING count(DISTINCT rating) > 1
    ) divided
"""


class RatingStatistics(Record):
    """A source's ratings."""

    columns: ClassVar[tuple[str, ...]] = ("what", "count")
    source: str
    entries: int = 0
    """That can be rated."""
    ratings: int = 0
    raters: int = 0
    up: int = 0
    down: int = 0
    changed: int = 0
    """Whose rater has changed his mind."""
    divided: int = 0
    """Entries that some like and some don't."""
    new: int = 0
    """That no run has learnt from yet."""
    last_rated_at: str | None = None

    @property
    def sentence(self) -> str:
        """What they come to."""
        return f"{self.ratings:,} ratings by {self.raters:,} raters, {self.new:,} of them new."

    def lines(self) -> Iterator[tuple[object, ...]]:
        """One count a line."""
        for name, value in self.model_dump(exclude={"source"}).items():
            yield name.replace("_", " "), value


def rating_statistics(source: str) -> RatingStatistics:
    """Counts of a source's entries and ratings. Raises: StoreError."""
    with connection() as held:
        row = held.execute(COUNTS, {"source": source}).fetchone() or ()
        divided = held.execute(DIVIDED, (source,)).fetchone() or (0,)
    names = ("entries", "ratings", "raters", "up", "down", "changed", "new", "last_rated_at")
    return RatingStatistics(source=source, divided=divided[0], **dict(zip(names, row, strict=True)))
