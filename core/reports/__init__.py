"""Reports: markdown that carries its own pictures."""

from core.reports.contest import comparison_table, contest_picture, evaluation_section, policy_table
from core.reports.figures import (
    Curve,
    Span,
    confidence_histogram,
    interval_plot,
    loss_curve,
    reward_curve,
    strata_plot,
)
from core.reports.markdown import (
    LARGEST_REPORT,
    Report,
    bold,
    bullets,
    byte_size,
    cell,
    criterion,
    duration,
    heading,
    percent,
    picture,
    table,
)

__all__ = [
    "LARGEST_REPORT",
    "Curve",
    "Report",
    "Span",
    "bold",
    "bullets",
    "byte_size",
    "cell",
    "comparison_table",
    "confidence_histogram",
    "contest_picture",
    "criterion",
    "duration",
    "evaluation_section",
    "heading",
    "interval_plot",
    "loss_curve",
    "percent",
    "picture",
    "policy_table",
    "reward_curve",
    "strata_plot",
    "table",
]
