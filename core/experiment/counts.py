"""What each arm's users thought, night by night, from stored ratings; one user at a time in memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from itertools import accumulate, groupby
from operator import attrgetter
from typing import NamedTuple

from core.errors import DataError
from core.experiment.assignment import assign
from core.experiment.settings import ExperimentSettings
from core.statistics import ClusterRates, ClusterTrials

TWO_ARMS = "of a user seen in two arms"
NO_ARM = "of a model in no arm"
NO_MODEL = "without a model version"
NOBODY = "without a user"


class RatedDay(NamedTuple):
    """What one user thought of one model's answers on one day (UTC)."""

    user: str
    version: str | None
    """What was stored with the ratings; None where the app stored nothing."""
    day: date
    ratings: int
    ups: int


@dataclass(slots=True)
class ArmCounts:
    """One arm's users and ratings."""

    trials: ClusterTrials = field(default_factory=ClusterTrials)
    """Users by their ratings."""
    news: dict[date, ClusterRates] = field(default_factory=dict)
    """By day: by how much the sums of users' own up-rates grew or fell."""

    @property
    def users(self) -> int:
        """Those who rated anything."""
        return self.trials.clusters

    @property
    def rates(self) -> ClusterRates:
        """The users' own up-rates as they are now."""
        return reduce(ClusterRates.and_also, self.news.values(), ClusterRates())

    def add(self, days: Iterable[RatedDay]) -> None:
        """One more user, whose days come in their order."""
        before, ratings, ups = ClusterRates(), 0, 0
        for each in days:
            ratings, ups = ratings + each.ratings, ups + each.ups
            after = ClusterRates(1, ups / ratings, (ups / ratings) ** 2)
            self.news[each.day] = self.news.get(each.day, ClusterRates()).and_also(after.without(before))
            before = after
        self.trials = self.trials.plus(ratings, ups)

    def until(self, days: Iterable[date]) -> Iterator[ClusterRates]:
        """The users' own up-rates as they were at the end of each day, in the order of the days."""
        news = (self.news.get(day, ClusterRates()) for day in days)
        return accumulate(news, ClusterRates.and_also)


@dataclass(slots=True)
class Counts:
    """All that an analysis needs to know of the ratings."""

    arms: dict[str, ArmCounts]
    """By the arm's name."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Ratings that count for no arm, by reason."""
    in_two_arms: int = 0
    """Users with ratings of more than one arm's model: what they think can't be told apart."""
    misrouted: int = 0
    """Users with ratings of one arm's model, who should have had another's; they count where they were."""


def count_ratings(
    rows: Iterable[RatedDay], experiment: ExperimentSettings, versions: Mapping[str, str]
) -> Counts:
    """Ratings by arm; `versions` gives the model version that stands for each arm's name.

    `rows` come user by user in the order of their names, and of a user day by day. Whoever rated answers of two arms is
    left out of both, from the first day on. Raises: DataError when users come in another order.
    """
    arm_of = {version: name for name, version in versions.items()}
    counts, last = Counts({arm.name: ArmCounts() for arm in experiment.arms}), None
    for user, days in groupby(rows, attrgetter("user")):
        if last is not None and user <= last:
            raise DataError(
                f"the ratings of user {user!r} come after those of {last!r}: give them user by user"
            )
        last = user
        found = list(_in_arms(counts, days, arm_of))
        if user:
            _count_user(counts, experiment, user, found)
        else:
            counts.left_out[NOBODY] += sum(day.ratings for _, day in found)
    return counts


def _in_arms(
    counts: Counts, days: Iterable[RatedDay], arm_of: Mapping[str, str]
) -> Iterator[tuple[str, RatedDay]]:
    """A user's days with the arm's name; those that belong to none are counted as left out."""
    for each in days:
        arm = None if each.version is None else arm_of.get(each.version)
        if arm is None:
            counts.left_out[NO_MODEL if each.version is None else NO_ARM] += each.ratings
        else:
            yield arm, each


def _count_user(
    counts: Counts, experiment: ExperimentSettings, user: str, found: Sequence[tuple[str, RatedDay]]
) -> None:
    arms = {arm for arm, _ in found}
    if len(arms) > 1:
        counts.in_two_arms += 1
        counts.left_out[TWO_ARMS] += sum(day.ratings for _, day in found)
    elif arms:
        arm = arms.pop()
        counts.arms[arm].add(day for _, day in found)
        counts.misrouted += assign(experiment, user).name != arm
