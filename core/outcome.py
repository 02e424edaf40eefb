"""What a market did in a window of time, read from whatever form it came in, or the reason why it can't be used."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.document import Unreadable, document
from core.value import identity, moment, need_past, need_values, text, within


@dataclass(frozen=True, slots=True)
class MarketOutcome:
    """A stock's prices in a window, or a prediction market's answer; `news` is JSON text, times are in UTC."""

    external_id: str
    window_start: datetime
    observed_at: datetime
    """When the app wrote it down: it knew no more than that."""
    ticker: str | None = None
    question_id: str | None = None
    """Of these two a market has one."""
    start_price: float | None = None
    end_price: float | None = None
    sentiment: str | None = None
    news: str | None = None
    question: str | None = None
    answer: str | None = None
    final_probability: float | None = None
    volume: float | None = None


TEXTS = ("sentiment", "question", "answer")
MARKET = ("ticker", "question_id")
AMOUNTS = ("start_price", "end_price", "volume")
OUTCOME_NEEDED = ("external_id", "window_start")
OUTCOME_CALLED = {
    "external_id": ("id",),
    "window_start": ("window_id",),
    "observed_at": ("created_at",),
    "ticker": ("stock_ticker",),
    "question_id": ("prediction_market_id",),
    "answer": ("outcome",),
    "news": ("news_events",),
}
"""What apps call a column besides our own name for it; the first app was that of seed 001."""


def read_outcome(values: Mapping[str, Any], now: datetime) -> MarketOutcome:
    """A market's outcome from a row of any source; its window is named by its start in UTC. Raises: Unreadable.

    One that doesn't say when it was written down was written now.
    """
    read: dict[str, Any] = {name: text(name, values.get(name)) or None for name in TEXTS}
    read |= {name: within(name, values.get(name), 0, math.inf) for name in AMOUNTS}
    read |= {name: identity(name, text(name, values.get(name)) or None) for name in MARKET}
    read["external_id"] = identity("external_id", values.get("external_id"))
    read["window_start"] = moment("window_start", values.get("window_start"))
    read["observed_at"] = min(moment("observed_at", values.get("observed_at")) or now, now)
    read["final_probability"] = within("final_probability", values.get("final_probability"), 0, 1)
    read["news"] = document("news", values.get("news"))
    need_values(read, OUTCOME_NEEDED)
    need_past(read, ("window_start",), now)
    if (read["ticker"] is None) == (read["question_id"] is None):
        raise Unreadable(
            "not_one_market", "give every outcome a ticker or the id of a question, and not both"
        )
    return MarketOutcome(**read)
