"""Figures in words: rates as percent, their differences as points, everything else as plain numbers."""

from core.evaluation.results import Comparison


def figure(value: float | None, *, rate: bool) -> str:
    """A mean: '12.4 %' for a rate, else three significant digits."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if rate else f"{value:.4g}"


def gap(value: float | None, *, rate: bool) -> str:
    """A difference with its sign: '+2.9 points' for rates."""
    if value is None:
        return "–"
    return f"{100 * value:+.1f} points" if rate else f"{value:+.3g}"


def probability(p_value: float) -> str:
    """A p-value: 'p = 0.013', 'p < 0.0001'."""
    return "p < 0.0001" if p_value < 1e-4 else f"p = {p_value:.2g}"


def bounds(comparison: Comparison, *, rate: bool) -> str:
    """A comparison's interval: '95 % interval +1.3 to +4.5 points'."""
    if comparison.interval is None:
        return "no interval"
    low, high = (gap(end, rate=rate) for end in (comparison.interval.low, comparison.interval.high))
    return f"{100 * (1 - comparison.level):.3g} % interval {low.removesuffix(' points')} to {high}"
