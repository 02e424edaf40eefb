"""The picture of a confidence sequence: how a difference became known, night by night."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from core.reports.figures import BLUE, GREY, PALE, STYLE, new_figure, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Bounded:
    """A difference of rates as it stood at the end of a day, and the ends of its interval; all as fractions."""

    day: date
    value: float
    low: float
    high: float


def sequence_plot(panels: Sequence[tuple[str, Sequence[Bounded]]], worthwhile: float = 0.0) -> bytes:
    """A panel for each title: the difference as a line in its band, zero, and where the gain is worth it; in points."""
    with mpl.rc_context(STYLE):
        figure = new_figure(7, 0.4 + 2.4 * max(1, len(panels)))
        grid = figure.subplots(max(1, len(panels)), 1, squeeze=False, sharex=True)
        for axes, (title, nights) in zip(grid[:, 0], panels, strict=False):
            _draw(axes, nights)
            if worthwhile:
                axes.axhline(100 * worthwhile, color=GREY, linestyle="--", linewidth=1)
            axes.set_title(title)
            axes.set_ylabel("points")
        return png(figure)


def _draw(axes: "Axes", nights: Sequence[Bounded]) -> None:
    """The line in its band; what reaches far beyond the later nights' band is cut off."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num  # noqa: PLC0415  (drawn with)

    days = date2num([night.day for night in nights])
    low, value, high = 100 * np.array([(night.low, night.value, night.high) for night in nights]).T
    axes.fill_between(days, low, high, color=PALE, linewidth=0)
    axes.plot(days, value, color=BLUE, marker="o", markersize=3)
    axes.axhline(0, color=GREY, linewidth=1)
    later = slice(len(nights) // 3, None)
    axes.set_ylim(1.1 * min(0.0, *low[later]) - 1, 1.1 * max(0.0, *high[later]) + 1)
    locator = AutoDateLocator(minticks=2, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
