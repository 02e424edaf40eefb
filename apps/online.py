"""Whether there is enough to learn from, over HTTP: GET /status?preset=demo."""

from fastapi import FastAPI, Request

from core.config import load_config
from core.store.rating_claims import OnlineStatus, online_status


def serve_status(app: FastAPI, source: str) -> None:
    """Let anybody here ask how many of a source's ratings are new, and when a model learns from them."""
    app.state.learns_from = source
    app.get("/status")(status)


def status(request: Request, preset: str = "default") -> OnlineStatus:
    """What the schedule would say now, by a preset's `online`."""
    from core.use_cases.widget_ratings.config import WidgetRatingsConfig  # noqa: PLC0415  (seconds to import)
    from core.use_cases.widget_ratings.rows import NAME  # noqa: PLC0415

    settings = load_config(WidgetRatingsConfig, NAME, preset).online
    return online_status(request.app.state.learns_from, settings)
