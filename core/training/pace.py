"""How fast a run goes and how long it will take: steps, looks and saves are timed apart.

A process that was started again, and a run that went back, know only what they timed themselves; what is left is counted
from the step that they stand at.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median

from core.training.config import MethodSettings
from core.training.ranks import sums

_RECENT = 20


class StepFigures:
    """What the passes of one step measured, on all processes, and how many tokens they computed."""

    def __init__(self) -> None:
        self._values: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._tokens = 0

    def add(self, curves: Mapping[str, float], share: float, tokens: int) -> None:
        """One pass's figures; `share` is its part of the step, 0 where it only keeps the others company."""
        self._tokens += tokens if share else 0
        for name, value in curves.items():
            self._values[name].append((value, share))

    def take(self) -> tuple[dict[str, float], float]:
        """Means of the figures, weighed by the shares, and the tokens; all processes must call it."""
        names = sorted(self._values)
        known = [
            [(value, share) for value, share in self._values[name] if share and math.isfinite(value)]
            for name in names
        ]
        weighed = sums([sum(value * share for value, share in pairs) for pairs in known])
        shares = sums([sum(share for _, share in pairs) for pairs in known])
        (tokens,) = sums([self._tokens])
        self.forget()
        found = zip(names, weighed, shares, strict=True)
        return {name: value / share for name, value, share in found if share}, tokens

    def forget(self) -> None:
        """Start anew."""
        self._values.clear()
        self._tokens = 0


class Pace:
    """A clock over a run's steps, and over what interrupts them."""

    def __init__(self, settings: MethodSettings, total_steps: int) -> None:
        self._total, self._every = total_steps, {"look": settings.eval_every, "save": settings.save_every}
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._pauses: dict[str, float] = {}
        self._since = time.perf_counter()

    def step(self) -> float:
        """Seconds of the step that ends now."""
        seconds = time.perf_counter() - self._since
        self._steps.append(seconds)
        self._since = time.perf_counter()
        return seconds

    def start(self) -> None:
        """A step begins now, whatever came before."""
        self._since = time.perf_counter()

    @contextmanager
    def pause(self, kind: str) -> Iterator[None]:
        """A look or a save, which belongs to no step."""
        started = time.perf_counter()
        yield
        self._pauses[kind] = time.perf_counter() - started
        self.start()

    def seconds_left(self, step: int) -> float | None:
        """Until the end of the run, at the pace of the last steps; None before the first."""
        if not self._steps:
            return None
        looks = sum(self._pauses.get(kind, 0.0) * self._coming(kind, step) for kind in self._every)
        return (self._total - step) * median(self._steps) + looks

    def _coming(self, kind: str, step: int) -> int:
        """How often a look or a save is still to come; after the last step there is a look and no save."""
        every, last = self._every[kind], self._total - 1
        if step > last:
            return 0
        return last // every - step // every + (kind == "look")
