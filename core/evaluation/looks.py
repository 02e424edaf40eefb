"""When a contest may end before its last cluster: looks planned before the first one is played."""

from collections.abc import Sequence

import numpy as np

from core.evaluation.settings import EvaluationSettings
from core.record import Record

SMALLEST_LOOK = 48
"""New clusters a look needs: with fewer, its t statistic is too far from the normal deviate of the bounds."""


class Looks(Record):
    """After how many clusters a contest is looked at. The last look is at all that are planned."""

    clusters: tuple[int, ...]
    note: str = ""
    """Why there is only one."""

    @property
    def planned(self) -> int:
        """All clusters that would be played."""
        return self.clusters[-1]


def plan_looks(
    settings: EvaluationSettings, clusters: int, units: Sequence[int] = (1,), name: str = "cluster"
) -> Looks:
    """Looks at about equal steps through `clusters`, each after whole units.

    The first of `units` that leaves every look enough new clusters is taken: say, whole blocks of random
    streams if there is room, else whole rounds of seats.
    """
    if settings.looks == 1:
        return Looks(clusters=(clusters,), note="a fixed design: one look at the end")
    steps = np.arange(1, settings.looks) * clusters / settings.looks
    for unit in units:
        sizes = [*(np.rint(steps / unit).astype(int) * unit).tolist(), clusters]
        smallest = min(np.diff([0, *sizes]))
        if smallest >= SMALLEST_LOOK:
            return Looks(clusters=tuple(sizes))
    return Looks(
        clusters=(clusters,),
        note=f"no early looks: {settings.looks} of them in {clusters:,} {name}s leave one with {max(smallest, 0)} "
        f"new {name}s, and {SMALLEST_LOOK} are needed; tested once, at the end",
    )
