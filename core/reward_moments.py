"""What the rewards of many decisions look like together: how many of each status, and each component's moments."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.record import Record
from core.reward import LARGEST, Reward

BINS = 20
"""Components are counted over [-1, 1], totals over [-5, 5]; what lies outside is in the first or last bin."""


NOTHING = ", nothing known"
"""Behind the status of a reward that has no value."""


class Distribution(Record):
    """The values of one component: their number, mean and spread, and how many lie in each of 20 bins."""

    count: int
    mean: float
    squares: float
    """Sum of squared distances from the mean."""
    bins: tuple[int, ...]

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def __add__(self, other: Self) -> Self:
        """Of both together (Chan et al. 1979)."""
        count = self.count + other.count
        apart = other.mean - self.mean
        return type(self)(
            count=count,
            mean=self.mean + apart * other.count / count,
            squares=self.squares + other.squares + apart * apart * self.count * other.count / count,
            bins=tuple(a + b for a, b in zip(self.bins, other.bins, strict=True)),
        )


class Stratum(Record):
    """The rewards of one agent type: how many of each status, what is awaited or was missed, and the values."""

    statuses: Mapping[str, int] = {}
    pending: Mapping[str, int] = {}
    missed: Mapping[str, int] = {}
    components: Mapping[str, Distribution] = {}
    total: Distribution | None = None
    """None where nothing is known of any."""

    def __add__(self, other: Self) -> Self:
        components = dict(self.components)
        for name, found in other.components.items():
            components[name] = components[name] + found if name in components else found
        return type(self)(
            statuses=dict(Counter(self.statuses) + Counter(other.statuses)),
            pending=dict(Counter(self.pending) + Counter(other.pending)),
            missed=dict(Counter(self.missed) + Counter(other.missed)),
            components=components,
            total=self.total + other.total if self.total and other.total else self.total or other.total,
        )


def merged(one: Mapping[str, Stratum], other: Mapping[str, Stratum]) -> dict[str, Stratum]:
    """Strata by agent type, those of both together."""
    both = dict(one)
    for agent, stratum in other.items():
        both[agent] = both[agent] + stratum if agent in both else stratum
    return both


class Moments:
    """Gathers rewards, as narrow as they go, until somebody asks for their strata."""

    def __init__(self) -> None:
        self._gathered: dict[str, _Gathered] = {}

    def add(self, agent_type: str, reward: Reward) -> None:
        """Count one reward in."""
        gathered = self._gathered.get(agent_type)
        if gathered is None:
            gathered = self._gathered[agent_type] = _Gathered()
        gathered.values.extend(reward.values)
        if reward.total is None:
            gathered.nothing[reward.status + NOTHING] += 1
        else:
            gathered.totals.append(reward.total)
        if reward.awaited:
            gathered.awaited += reward.total is not None
            gathered.pending.update(reward.awaited)

    def strata(self, names: Mapping[str, Sequence[str]]) -> dict[str, Stratum]:
        """What was gathered by agent type; `names` are those of its components, in the order of the spec."""
        return {agent: _stratum(gathered, names[agent]) for agent, gathered in self._gathered.items()}


@dataclass(slots=True)
class _Gathered:
    values: list[float | None] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    awaited: int = 0
    nothing: Counter[str] = field(default_factory=Counter)
    pending: Counter[int] = field(default_factory=Counter)


def _stratum(gathered: _Gathered, names: Sequence[str]) -> Stratum:
    values_R_C = np.array(gathered.values, dtype=np.float64).reshape(-1, len(names))
    counts_C = len(values_R_C) - np.isnan(values_R_C).sum(axis=0)
    pending = {name: gathered.pending[place] for place, name in enumerate(names)}
    missed = {
        name: len(values_R_C) - int(count) - pending[name]
        for name, count in zip(names, counts_C, strict=True)
    }
    found = zip(names, values_R_C.T, counts_C, strict=True)
    final = len(gathered.totals) - gathered.awaited
    return Stratum(
        statuses=_present({"final": final, "pending": gathered.awaited, **gathered.nothing}),
        pending=_present(pending),
        missed=_present(missed),
        components={
            name: _distribution(values_R if count == len(values_R) else values_R[~np.isnan(values_R)], 1.0)
            for name, values_R, count in found
            if count
        },
        total=_distribution(np.array(gathered.totals), LARGEST) if gathered.totals else None,
    )


def _present(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def _distribution(values: NDArray[np.float64], reach: float) -> Distribution:
    places = (np.clip(values, -reach, reach) * (BINS / (2 * reach)) + BINS / 2).astype(np.int8)
    counts = np.bincount(places, minlength=BINS + 1)
    counts[BINS - 1] += counts[BINS]  # the upper edge belongs to the last bin
    mean = float(values.mean())
    apart = values - mean
    return Distribution(
        count=len(values),
        mean=mean,
        squares=float(apart @ apart),
        bins=tuple(counts[:BINS].tolist()),
    )
