"""Whether there is enough to learn from, over HTTP: GET /status?preset=demo."""

from typing import Any

from fastapi import FastAPI, Request

from core.config import load_config
from core.store.rating_claims import OnlineSettings, OnlineStatus, online_status


def serve_status(app: FastAPI, source: str, overrides: dict[str, Any] | None = None) -> None:
    """Let anybody here ask how many of a source's ratings are new, and when a model learns from them.

    `overrides` are those of the deployment whose schedule learns. Raises: ConfigError.
    """
    app.state.learns_from, app.state.overrides = source, overrides
    if overrides:
        _settings("default", overrides)
    app.get("/status")(status)


def status(request: Request, preset: str = "default") -> OnlineStatus:
    """What the schedule would say now, by a preset's `online`."""
    return online_status(request.app.state.learns_from, _settings(preset, request.app.state.overrides))


def _settings(preset: str, overrides: dict[str, Any] | None) -> OnlineSettings:
    from core.use_cases.widget_ratings.config import WidgetRatingsConfig  # noqa: PLC0415  (seconds to import)
    from core.use_cases.widget_ratings.rows import NAME  # noqa: PLC0415

    return load_config(WidgetRatingsConfig, NAME, preset, overrides).online
