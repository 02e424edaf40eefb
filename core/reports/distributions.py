"""The pictures of many figures' distributions, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np

from core.reports.figures import BLUE, GREY, ORANGE, STYLE, new_figure, png

ACROSS = 4
"""Panels in a row."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure's values in equal bins over [-1, 1]; and those of before, where there are any."""

    name: str
    bins: Sequence[int]
    before: Sequence[int] = ()


def distributions(panels: Sequence[Panel]) -> bytes:
    """A histogram a panel, as shares; those of before as a line over it."""
    rows = max(1, -(-len(panels) // ACROSS))
    with mpl.rc_context(STYLE):
        figure = new_figure(8.2, 1.5 * rows + 0.2)
        grid = figure.subplots(rows, ACROSS, squeeze=False, sharex=True)
        for place, axes in enumerate(grid.flat):
            if place >= len(panels):
                axes.set_visible(False)
                continue
            panel = panels[place]
            edges = np.linspace(-1, 1, len(panel.bins) + 1)
            axes.stairs(_shares(panel.bins), edges, fill=True, color=BLUE)
            if sum(panel.before):
                axes.stairs(_shares(panel.before), edges, color=ORANGE, linewidth=1.2)
            axes.set_title(panel.name, fontsize=8)
            axes.set_yticks([])
            axes.axvline(0, color=GREY, linewidth=0.6)
        return png(figure)


def _shares(bins: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    counts = np.asarray(bins, dtype=np.float64)
    return counts / max(1.0, counts.sum())
