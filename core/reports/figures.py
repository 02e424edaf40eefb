"""The pictures of a report: small PNGs that read well on white and on paper."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, PALE = "#0072B2", "#D55E00", "#009E73", "#666666", "#B8CFE0"
"""Okabe & Ito's colours, told apart by everybody."""
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#333333",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "#333333",
    "ytick.labelcolor": "#333333",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
DOTS_PER_INCH = 110
SMOOTHED_FROM = 40
"""A curve with at least this many points is drawn pale, with a running mean over it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One measured line: a value at each step; NaN leaves a gap."""

    steps: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Span:
    """A figure with its interval (None where there is none), under a label."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    marked: bool = False
    """Drawn in the colour of the candidate."""


def loss_curve(train: Curve, held_out: Curve | None = None, target: float | None = None) -> bytes:
    """Loss per step, with the held-out loss and the value to get under, where given."""
    with mpl.rc_context(STYLE):
        figure, (axes,) = _panels(1)
        _draw(axes, train, "training", BLUE)
        if held_out is not None:
            _draw(axes, held_out, "held out", ORANGE, marker="o")
        if target is not None:
            axes.axhline(target, color=GREY, linestyle="--", linewidth=1, label=f"target {target:g}")
        _finish(axes, "Loss", "step", "loss")
        return png(figure)


def reward_curve(
    reward: Curve, regrets: Mapping[str, Curve] | None = None, held_out: Curve | None = None
) -> bytes:
    """Mean reward per step, held out too where it was measured, and under it what the policies give away there."""
    with mpl.rc_context(STYLE):
        figure, panels = _panels(2 if regrets else 1)
        _draw(panels[0], reward, "training", BLUE)
        if held_out is not None:
            _draw(panels[0], held_out, "held out", ORANGE, marker="o")
        _finish(panels[0], "Reward", "" if regrets else "step", "mean reward")
        for (name, curve), colour in zip((regrets or {}).items(), cycle((ORANGE, GREEN, GREY, BLUE))):
            _draw(panels[-1], curve, name, colour, marker="o")
        if regrets:
            _finish(panels[-1], "Held-out regret (less is better)", "step", "regret")
        return png(figure)


def interval_plot(
    means: Sequence[Span], differences: Sequence[Span], labels: tuple[str, str], *, rate: bool = False
) -> bytes:
    """Policies with their intervals, best first; beside them, candidate minus each, with a line at zero.

    `labels` are the titles of the two panels; rates are drawn as percent and points.
    """
    scale = 100.0 if rate else 1.0
    ranked = sorted(means, key=lambda span: span.value)
    by_label = {span.label: span for span in differences}
    with mpl.rc_context(STYLE):
        height = 1.1 + 0.3 * max(len(ranked), 3)
        figure = new_figure(8.2, height)
        left, right = figure.subplots(1, 2, sharey=True)
        _spans(left, ranked, scale)
        _spans(right, [by_label.get(span.label) for span in ranked], scale)
        right.axvline(0, color=GREY, linewidth=1)
        left.set_yticks(range(len(ranked)), [span.label for span in ranked])
        for axes, title, unit in ((left, labels[0], "%"), (right, labels[1], "points")):
            axes.set_title(title)
            axes.set_xlabel(unit if rate else "")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
        return png(figure)


def strata_plot(
    strata: Sequence[int],
    series: Mapping[str, Sequence[float]],
    stratum_name: str,
    title: str,
    *,
    rate: bool = False,
) -> bytes:
    """One figure per stratum (a seat) and policy, side by side; a third series is drawn as a dashed line."""
    scale = 100.0 if rate else 1.0
    looks = ((ORANGE, "o", "", -0.12), (BLUE, "s", "", 0.12), (GREY, "", "--", 0.0))
    with mpl.rc_context(STYLE):
        figure, (axes,) = _panels(1)
        for (name, values), (colour, marker, line, beside) in zip(series.items(), looks, strict=False):
            heights = scale * np.asarray(values, dtype=np.float64)
            places = np.asarray(strata) + beside
            axes.plot(places, heights, marker=marker, linestyle=line, color=colour, label=name, markersize=6)
        axes.set_xticks(list(strata))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        _finish(axes, title, stratum_name, "%" if rate else "")
        return png(figure)


def confidence_histogram(confidences: Sequence[float], chance: float | None = None) -> bytes:
    """How sure a policy was of what it chose: the probability of each choice, in [0, 1]."""
    values = np.asarray(confidences, dtype=np.float64)
    values = values[np.isfinite(values)]
    with mpl.rc_context(STYLE):
        figure, (axes,) = _panels(1)
        if len(values):
            axes.hist(
                values, bins=np.linspace(0, 1, 21).tolist(), color=BLUE, edgecolor="white", linewidth=0.6
            )
            middle = float(np.median(values))
            axes.axvline(middle, color=ORANGE, label=f"median {middle:.2f}")
        if chance is not None:
            axes.axvline(chance, color=GREY, linestyle="--", linewidth=1, label=f"chance {chance:.2f}")
        axes.set_xlim(0, 1)
        _finish(axes, f"Confidence of {len(values):,} choices", "probability of the choice", "choices")
        return png(figure)


def _panels(count: int) -> "tuple[Figure, list[Axes]]":
    figure = new_figure(7, 2.6 if count == 1 else 4.2)
    return figure, list(np.atleast_1d(figure.subplots(count, 1, sharex=True)))


def _draw(axes: "Axes", curve: Curve, name: str, colour: str, marker: str = "") -> None:
    """A curve; a long one pale, under its running mean over a twentieth of its points."""
    steps, values = np.asarray(curve.steps, np.float64), np.asarray(curve.values, np.float64)
    if not np.isfinite(values).any():
        return
    if len(values) < SMOOTHED_FROM:
        marker = marker or ("o" if len(values) < 3 else "")
        axes.plot(steps, values, color=colour, marker=marker, markersize=4, label=name)
        return
    axes.plot(steps, values, color=PALE if colour == BLUE else colour, linewidth=0.8, alpha=0.8)
    axes.plot(
        steps, _running_mean(values, max(3, len(values) // 20)), color=colour, label=f"{name}, running mean"
    )


def _running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The mean of the `width` values around each, fewer at the ends; gaps are left out."""
    present = np.isfinite(values)
    window = np.ones(min(width, len(values)))
    sums = np.convolve(np.where(present, values, 0.0), window, mode="same")
    counts = np.convolve(present.astype(np.float64), window, mode="same")
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _spans(axes: "Axes", spans: Sequence[Span | None], scale: float) -> None:
    for height, span in enumerate(spans):
        if span is None:
            continue
        colour = ORANGE if span.marked else BLUE
        if span.low is not None and span.high is not None:
            axes.plot([scale * span.low, scale * span.high], [height, height], color=colour, linewidth=2)
        axes.plot(scale * span.value, height, "o", color=colour, markersize=6)


def _finish(axes: "Axes", title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if x_label == "step":
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  (drawn with)

        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not (axes.lines or axes.patches):
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", color=GREY)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(loc="best", fontsize=8)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches. What draws is loaded with the first: most who import this module draw nothing."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def png(figure: "Figure") -> bytes:
    """The figure as a PNG of at most 64 colours, a third of the size; equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (drawn with)

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    pixels.quantize(64, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return buffer.getvalue()
