"""What tests and intervals give back: records, so that an evaluation can be stored as it is."""

from core.record import Record


class Interval(Record):
    """A confidence interval; where one can't be given, its place holds None."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value can't be excluded."""
        return self.low <= value <= self.high


class HypothesisTest(Record):
    """One two-sided test: which one it was, its statistic and its p-value."""

    method: str
    statistic: float | None
    p_value: float


class PairedDifference(Record):
    """How far two policies lie apart on the same clusters, and how sure that is."""

    difference: float
    standard_error: float | None
    """None with fewer than two clusters."""
    interval: Interval | None
    """None when the data can't bound the difference: too few clusters, or no two results that differ."""
    p_value: float
    clusters: int
    method: str
