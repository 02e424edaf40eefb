"""A claim with its number: printed as one line of JSON, and a failing exit code when one falls short."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number and what it has to reach."""

    figure: str
    value: float
    unit: str
    target: float
    against: str
    """What it was measured against, or how."""
    at_most: bool = False
    """The target is a ceiling, not a floor."""

    @property
    def ok(self) -> bool:
        """Whether the number is there and reaches its target."""
        reached = self.value <= self.target if self.at_most else self.value >= self.target
        return math.isfinite(self.value) and bool(reached)

    def line(self) -> str:
        """The figure as one line of JSON."""
        return json.dumps(
            {
                "figure": self.figure,
                "value": float(f"{self.value:.4g}") if math.isfinite(self.value) else None,
                "unit": self.unit,
                "target": f"{'<=' if self.at_most else '>='} {self.target:g}",
                "against": self.against,
                "ok": self.ok,
            },
            ensure_ascii=False,
        )


def report(figures: Iterable[Figure]) -> int:
    """Print the figures; the exit code is 1 when one falls short."""
    for figure in figures:
        print(figure.line(), flush=True)
    return 0 if all(figure.ok for figure in figures) else 1
