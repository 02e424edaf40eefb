"""Which app's table rows are imported from, and what its columns are called."""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from core.errors import ConfigError
from core.record import Settings

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class DatabaseSettings(Settings):
    """Which database an app's rows are read from, under which name they are kept."""

    name: str = Field(default="app", min_length=1)
    """Under which name its rows are kept here, together with the ids that they have there."""
    kind: Literal["postgresql", "sqlite"]
    url_variable: str = "OVERNIGHT_SOURCE_URL"
    """The environment variable that holds the database's URL: a password never stands in settings."""
    overlap_minutes: float = Field(default=10, ge=0)
    """How far before the watermark reading begins again: a row that was written then may have been committed later."""

    @field_validator("url_variable")
    @classmethod
    def _no_secret(cls, name: str) -> str:
        if not VARIABLE.fullmatch(name):
            raise ConfigError(
                "holds the NAME of an environment variable (such as OVERNIGHT_SOURCE_URL), and this is none: put the "
                "database's URL into that variable, so that its password is never written down"
            )
        return name


class TableSettings(Settings):
    """A table of an app, and what its columns are called."""

    table: str = Field(min_length=1)
    """As it is spelt there, 'schema.table' where the schema is not the first of the search path."""
    columns: Mapping[str, str] = {}
    """Our name of a column to its name there, where they differ in more than upper case and underscores."""
    watermark: str | None = Field(default="updatedAt", min_length=1)
    """A column of times that moves whenever a row is changed. Without one the whole table is read each time."""


class SourceSettings(DatabaseSettings, TableSettings):
    """Where an app's rows come from: a table of its own database, which is only ever read, or what it recorded here."""

    kind: Literal["postgresql", "sqlite", "recorded"]  # type: ignore[assignment]
    """recorded: the app hands its rows over under this name (`core.recording`, `add_feedback`) and has no table to read; what follows
    is then unused."""
    table: str = Field(default="Decision", min_length=1)
    section: str = Field(default="source", exclude=True)
    """Where the table's settings stand, for messages."""


class TrajectorySettings(Settings):
    """Where an app keeps its trajectories, the model calls that they made, and what the markets did meanwhile."""

    source: DatabaseSettings
    trajectories: TableSettings
    calls: TableSettings | None
    """Null where the app keeps none; so too below."""
    outcomes: TableSettings | None
    awaited_days: float = Field(default=7, ge=0)
    """So long after its end a trajectory is read again for its judgement, and after its window's start an outcome for its end."""

    def of(self, section: str) -> SourceSettings:
        """One of the tables, with the database that it is in."""
        values = self.source.model_dump() | getattr(self, section).model_dump()
        return SourceSettings(section=section, **values)

    @property
    def tables(self) -> tuple[str, ...]:
        """The sections of the tables that there are, in the order in which they are read."""
        return tuple(
            name for name in ("trajectories", "calls", "outcomes") if getattr(self, name) is not None
        )
