"""How many trajectories there are, and what they still lack."""

from collections.abc import Iterator
from typing import ClassVar

from core.record import Record
from core.store.engine import connection

TRAJECTORIES = """
    SELECT count(*), count(DISTINCT agent_id), count(DISTINCT (window_start, window_hours)),
        count(*) FILTER (WHERE judge_reward IS NULL), max(ended_at)::text
    FROM overnight.trajectories WHERE source = %s
"""
CALLS = """
    SELECT count(*), count(*) FILTER (WHERE t.number IS NULL)
    FROM overnight.llm_call_logs c LEFT JOIN overnight.trajectories t
        ON t.source = c.source AND t.external_id = c.trajectory_id
    WHERE c.source = %s
"""
OUTCOMES = """
    SELECT count(*), count(*) FILTER (WHERE answer IS NULL AND end_price IS NULL)
    FROM overnight.market_outcomes WHERE source = %s
"""


class TrajectoryStatistics(Record):
    """A source's trajectories, their model calls, and its markets."""

    columns: ClassVar[tuple[str, ...]] = ("what", "count")
    source: str
    trajectories: int = 0
    agents: int = 0
    windows: int = 0
    unjudged: int = 0
    """That the app's own judge has not scored yet."""
    last_ended_at: str | None = None
    model_calls: int = 0
    calls_without_trajectory: int = 0
    market_outcomes: int = 0
    open_markets: int = 0
    """Without an answer and without a last price."""

    @property
    def sentence(self) -> str:
        """What they come to."""
        return f"{self.trajectories:,} trajectories of {self.agents:,} agents, {self.unjudged:,} of them not judged yet."

    def lines(self) -> Iterator[tuple[object, ...]]:
        """One count a line."""
        for name, value in self.model_dump(exclude={"source"}).items():
            yield name.replace("_", " "), value


def trajectory_statistics(source: str) -> TrajectoryStatistics:
    """Counts of a source's rows. Raises: StoreError."""
    with connection() as held:
        counts = [
            n
            for query in (TRAJECTORIES, CALLS, OUTCOMES)
            for n in held.execute(query, (source,)).fetchone() or ()
        ]
    names = (name for name in TrajectoryStatistics.model_fields if name != "source")
    return TrajectoryStatistics(source=source, **dict(zip(names, counts, strict=True)))
