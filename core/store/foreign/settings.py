"""Which app's table rows are imported from, and what its columns are called."""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from core.errors import ConfigError
from core.record import Settings

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SourceSettings(Settings):
    """Where an app's rows come from: a table of its own database, which is only ever read, or what it recorded here."""

    name: str = Field(default="app", min_length=1)
    """Under which name its rows are kept here, together with the ids that they have there."""
    kind: Literal["postgresql", "sqlite", "recorded"]
    """recorded: the app calls `core.recording` under this name and has no table to read; what follows is then unused."""
    url_variable: str = "OVERNIGHT_SOURCE_URL"
    """The environment variable that holds the database's URL: a password never stands in settings."""
    table: str = Field(default="Decision", min_length=1)
    """As it is spelt there, 'schema.table' where the schema is not the first of the search path."""
    columns: Mapping[str, str] = {}
    """Our name of a column to its name there, where they differ in more than upper case and underscores."""
    watermark: str | None = Field(default="updatedAt", min_length=1)
    """A column of times that moves whenever a row is changed. Without one the whole table is read each time."""
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
