"""What an experiment showed: records, so that an analysis can be stored as it is."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum

from core.experiment.settings import ExperimentSettings
from core.record import Record
from core.statistics import HypothesisTest, Interval


class ExperimentVerdict(StrEnum):
    """Whether people like an arm's answers better than the control's."""

    BETTER = "better"
    NOT_BETTER = "not better"
    CANNOT_TELL = "cannot tell yet"
    MISMATCH = "not to be trusted: sample ratio mismatch"


class ArmResult(Record):
    """One arm's users and what they thought."""

    arm: str
    version: str
    share: float
    users: int
    ratings: int
    ups: int
    rate: float | None
    """Up-rate with every user counted once: the mean of the users' own; None without users."""
    interval: Interval | None
    """Of `rate`, at this look alone."""
    pooled_rate: float | None
    """Ups by ratings, in which a busy user counts more."""
    pooled_interval: Interval | None
    """Of `pooled_rate`, over users."""


class NightlyLook(Record):
    """The difference to the control as it stood at the end of one day (UTC)."""

    day: date
    users: int
    control_users: int
    difference: float
    """Of the up-rates, in [-1, 1]."""
    sequence: Interval
    """Holds the true difference at all looks together."""
    p_value: float
    """Always valid."""


class ArmComparison(Record):
    """One arm against the control, every user counted once."""

    arm: str
    control: str
    level: float
    """1 - level is the coverage of both intervals: alpha, divided by the number of arms held against the control."""
    difference: float | None
    """Of the up-rates; None before both have users."""
    interval: Interval | None
    """At this look alone: only for whoever looks once."""
    looks: tuple[NightlyLook, ...]
    """One a day with ratings, from the first on which both have users. The last one decides."""
    verdict: ExperimentVerdict
    reason: str

    @property
    def decided(self) -> date | None:
        """The first day whose sequence excluded zero; None when none did."""
        return next((look.day for look in self.looks if not look.sequence.holds(0.0)), None)


class ExperimentAnalysis(Record):
    """All that is known of an experiment at a moment, and the verdict on each arm."""

    settings: ExperimentSettings
    source: str
    """Whose ratings."""
    as_of: datetime
    arms: tuple[ArmResult, ...]
    comparisons: tuple[ArmComparison, ...]
    mismatch: HypothesisTest
    """Users in each arm against the shares."""
    in_two_arms: int
    """Users who were left out for it."""
    misrouted: int
    """Users with ratings of another arm than is theirs by the hash; they count where they were."""
    left_out: Mapping[str, int]
    """Ratings by reason."""

    @property
    def users(self) -> int:
        """Those who count."""
        return sum(arm.users for arm in self.arms)

    @property
    def is_mismatched(self) -> bool:
        """Whether the users do not lie in the arms as the shares would have them."""
        return self.mismatch.p_value < self.settings.mismatch_alpha
