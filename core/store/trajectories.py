"""What apps log of agents that act for a while: trajectories, the model calls in them, and what the markets did meanwhile."""

from dataclasses import fields
from datetime import datetime
from typing import get_args, get_type_hints

from core.outcome import MarketOutcome, read_outcome
from core.store.newest import Newest
from core.trajectory import ModelCall, Trajectory, read_call, read_trajectory

TYPES = {str: "text", int: "int4", float: "float8", datetime: "timestamptz"}
"""In which types fields come, by their annotations; None is always NULL."""
OLDER_LOOK = "an older look at the same market"


def _types(kind: type[Trajectory | ModelCall | MarketOutcome], *documents: str) -> dict[str, str]:
    """The columns of a row's table, whose documents are JSON text."""
    hints = get_type_hints(kind)
    kinds = {field.name: (get_args(hints[field.name]) or (hints[field.name],))[0] for field in fields(kind)}
    return {name: TYPES[one] for name, one in kinds.items()} | dict.fromkeys(documents, "json")


TRAJECTORIES = Newest(
    "trajectories", read_trajectory, _types(Trajectory, "steps", "metrics", "components", "truth")
)
CALLS = Newest(
    "llm_call_logs",
    read_call,
    _types(ModelCall, "messages", "logprobs"),
    age="called_at",
    apart=("external_id",),
)
"""A call is kept whether its trajectory is here or not: the app may write the one or the other first."""
OUTCOMES = Newest(
    "market_outcomes",
    read_outcome,
    _types(MarketOutcome, "news"),
    key=("window_start", "ticker", "question_id"),
    age="observed_at",
    apart=("external_id", "observed_at"),
    overtaken=OLDER_LOOK,
)
"""A market has one outcome in a window, however often the app wrote it down: the last time counts."""
