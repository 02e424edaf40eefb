"""Whether tonight's rewards look like those of the nights before."""

import math
from collections.abc import Iterator, Mapping, Sequence

from core.record import Record
from core.reward_moments import BINS, Distribution, Stratum

TOTAL = "(total)"
LARGE_SHIFT = 0.2
"""Standard deviations that are a shift worth a look (Cohen 1988: small), where it is also 3 standard errors."""
LARGE_INDEX = 0.2
"""Population stability index from which two distributions are commonly called different, beyond what chance gives."""


class Drift(Record):
    """One component of one agent type, tonight and before."""

    agent_type: str
    component: str
    count: int
    count_before: int
    mean: float
    mean_before: float
    shift: float | None
    """Of the mean, in standard deviations of before; None where nothing varied."""
    stability: float
    """Population stability index over the bins: 0 for equal shares."""

    @property
    def large(self) -> bool:
        """Whether somebody should look at it: large, and more than so few values show by chance."""
        few = 1 / self.count + 1 / self.count_before
        shifted = abs(self.shift or 0.0) >= max(LARGE_SHIFT, 3 * math.sqrt(few))
        return shifted or self.stability >= LARGE_INDEX + (BINS - 1) * few


def drifts(tonight: Mapping[str, Stratum], before: Mapping[str, Stratum]) -> list[Drift]:
    """Every component that was seen tonight and before, the largest shift first."""
    found = [
        _drift(agent, name, now, then)
        for agent, stratum in tonight.items()
        if agent in before
        for name, now, then in _pairs(stratum, before[agent])
    ]
    return sorted(found, key=lambda drift: -abs(drift.shift or 0.0))


def _pairs(tonight: Stratum, before: Stratum) -> Iterator[tuple[str, Distribution, Distribution]]:
    if tonight.total and before.total:
        yield TOTAL, tonight.total, before.total
    for name, now in tonight.components.items():
        if name in before.components:
            yield name, now, before.components[name]


def _drift(agent: str, name: str, now: Distribution, then: Distribution) -> Drift:
    return Drift(
        agent_type=agent,
        component=name,
        count=now.count,
        count_before=then.count,
        mean=now.mean,
        mean_before=then.mean,
        shift=(now.mean - then.mean) / then.deviation if then.deviation > 0 else None,
        stability=_stability(now.bins, then.bins),
    )


def _stability(now: Sequence[int], then: Sequence[int]) -> float:
    """Sum of (p - q) ln(p / q) over the bins, each with half a value more, so that none is empty."""
    shares = [[(count + 0.5) / (sum(bins) + 0.5 * len(bins)) for count in bins] for bins in (now, then)]
    return sum((p - q) * math.log(p / q) for p, q in zip(*shares, strict=True))
