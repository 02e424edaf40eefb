"""Where a source's database is, and the way into it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import ConfigError
from core.store.foreign.postgres import postgres_source
from core.store.foreign.rows import Source
from core.store.foreign.settings import SourceSettings
from core.store.foreign.shape import Shape
from core.store.foreign.sqlite import sqlite_source

SCHEMES = {"postgres": "postgresql", "postgresql": "postgresql", "sqlite": "sqlite", "file": "sqlite"}


@contextmanager
def open_source(source: SourceSettings, shape: Shape) -> Iterator[Source]:
    """An app's table, to be read during the block. Raises: ConfigError, SourceError when it can't be reached now."""
    url = os.environ.get(source.url_variable)
    if not url:
        raise ConfigError(
            f"{source.url_variable} is not set: put the URL of the database that '{source.name}' is read from into it"
        )
    scheme = SCHEMES.get(url.partition(":")[0].partition("+")[0])
    if scheme not in (None, source.kind) or (scheme is None and source.kind == "postgresql"):
        raise ConfigError(
            f"{source.url_variable} holds no URL of a {source.kind} database: write it as "
            "postgresql://user:password@host:5432/database or sqlite:///folder/app.db, or correct source.kind"
        )
    way = postgres_source if source.kind == "postgresql" else sqlite_source
    with way(source, url, shape) as opened:
        yield opened
