"""Figures in words: rates as percent, their differences as points, everything else as plain numbers."""

from core.evaluation.results import Comparison


def figure(value: float | None, *, rate: bool) -> str:
    """A mean: '12.4 %' for a rate, else two decimals."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if rate else f"{value:,.2f}"


def gap(value: float | None, *, rate: bool) -> str:
    """A difference with its sign: '+2.9 points' for rates."""
    if value is None:
        return "–"
    return f"{round(100 * value, 1) + 0.0:+.1f} points" if rate else f"{value:+.3g}"


def probability(p_value: float) -> str:
    """A p-value: 'p = 0.013', 'p < 0.0001'."""
    return "p < 0.0001" if p_value < 1e-4 else f"p = {p_value:.2g}"


def bounds(comparison: Comparison, *, rate: bool) -> str:
    """A comparison's interval: '95 % interval +1.3 to +4.5 points'; 'repeated' where it holds at all looks."""
    if comparison.interval is None:
        return "no interval"
    low, high = (gap(end, rate=rate) for end in (comparison.interval.low, comparison.interval.high))
    kind = "repeated interval" if comparison.repeated else "interval"
    return f"{100 * (1 - comparison.level):.3g} % {kind} {low.removesuffix(' points')} to {high}"
