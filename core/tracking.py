"""Weights & Biases: losses, rewards and evaluations of a run; offline unless a key is set."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import field_validator

from core.errors import ConfigError, ServiceError, one_line
from core.files import make_folder
from core.record import Settings


class TrackingSettings(Settings):
    """Where curves go besides the report."""

    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    """auto: online when WANDB_API_KEY is set, else offline files in the run's folder."""
    project: str = "overnight"

    @field_validator("wandb", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        """YAML reads a bare `off` as false."""
        return "off" if value is False else value


Mode = Literal["online", "offline", "disabled"]
_NAMED: dict[str | None, Mode] = {"online": "online", "offline": "offline", "disabled": "disabled"}


def mode(settings: TrackingSettings) -> Mode:
    """What `auto` means on this machine: a key makes it online, WANDB_MODE wins over both."""
    if settings.wandb == "off":
        return "disabled"
    if named := _NAMED.get(os.environ.get("WANDB_MODE")):
        return named
    if settings.wandb == "auto":
        return "online" if os.environ.get("WANDB_API_KEY") else "offline"
    return settings.wandb


class Tracker:
    """One W&B run for one stage of an Overnight run; grouped by the run, and resumed under the same id.

    With `auto` an unreachable server means offline. Raises: ConfigError when W&B refuses the key; ServiceError when
    it can't be reached and 'online' was asked for.
    """

    def __init__(
        self, settings: TrackingSettings, folder: Path, run_id: str, stage: str, config: Mapping[str, Any]
    ) -> None:
        self._run: Any = None
        if mode(settings) == "disabled":
            return
        about = {
            "project": settings.project,
            "group": run_id,
            "job_type": stage,
            "name": f"{stage}-{run_id[:8]}",
            "id": f"{run_id[:24]}-{stage}",
            "resume": "allow",
            "dir": str(make_folder(folder)),
            "config": dict(config),
        }
        try:
            self._run = _begin(mode=mode(settings), **about)
        except ServiceError:
            if settings.wandb != "auto":
                raise
            self._run = _begin(mode="offline", **about)  # curves are no reason to lose a night's training

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record figures at a step."""
        if self._run is not None:
            self._run.log(dict(metrics), step=step)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Record final figures."""
        if self._run is not None:
            self._run.summary.update(dict(values))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if error is None else 1)


def _begin(**settings: Any) -> Any:
    import wandb  # noqa: PLC0415  (a second to import, and not needed when it is off)

    quiet = wandb.Settings(
        silent=True, console="off", x_disable_stats=True, disable_git=True, init_timeout=30
    )
    try:
        return wandb.init(**settings, settings=quiet)
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        raise ConfigError(
            f"Weights & Biases refuses this run ({one_line(error)}): set WANDB_API_KEY, or tracking.wandb to 'offline'"
        ) from error
    except wandb.errors.Error as error:
        raise ServiceError(
            f"Weights & Biases can't be reached ({one_line(error)}): try again, or set tracking.wandb to 'offline'"
        ) from error
