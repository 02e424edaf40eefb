"""Connections to the store, and the one place where the driver's exceptions become ours."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlmodel import Session

from core.errors import StoreError
from core.store import server

CONNECT_SECONDS = 5


def engine() -> Engine:
    """The engine for the database in use, one a process."""
    return _engine(server.database_url().render_as_string(hide_password=False), os.getpid())


@contextmanager
def transaction() -> Iterator[Session]:
    """All or nothing: committed at the end of the block, undone by an exception. Raises: StoreError."""
    try:
        with Session(engine(), expire_on_commit=False) as session, session.begin():
            yield session
    except SQLAlchemyError as error:
        raise store_error(error) from error


def place(url: URL) -> str:
    """A database's address for people: no password in it."""
    if server.given_url() is None:
        return f"the embedded PostgreSQL in {url.query['host']}"
    secrets = {name: "***" for name in url.query if "password" in name}
    return url.set(drivername="postgresql").update_query_dict(secrets).render_as_string(hide_password=True)


def store_error(error: SQLAlchemyError) -> StoreError:
    """What the database refused, as one line."""
    where = place(server.database_url())
    if not isinstance(error, DBAPIError) or error.orig is None:
        return StoreError(f"{where} was asked for something impossible: {_line(error)}")
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return StoreError(f"{where} broke off: {_line(error.orig)}; nothing of this step was kept, try again")
    missing = "is not present in table" in str(error.orig)
    hint = "; record what it names first" if missing else ""
    return StoreError(f"{where} refused: {_line(error.orig)}{hint}")


@lru_cache(maxsize=16)
def _engine(url: str, _pid: int) -> Engine:
    made = create_engine(
        make_url(url),
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=_json,
    )
    connect = _connect_embedded if server.given_url() is None else _connect_given
    event.listen(made, "do_connect", lambda _dialect, _record, _args, given: connect(made.url, given))
    return made


def _connect_given(url: URL, given: dict[str, Any]) -> psycopg.Connection:
    try:
        return psycopg.connect(**{"connect_timeout": CONNECT_SECONDS, **given})
    except psycopg.Error as error:
        raise StoreError(
            f"can't reach {place(url)}: {_line(error)}; start that server or correct OVERNIGHT_DATABASE_URL "
            "(unset it to use the embedded one)"
        ) from error


def _connect_embedded(url: URL, given: dict[str, Any]) -> psycopg.Connection:
    """Connect, and bring the server up when it is down, killed, or still reading its log after that."""
    limit = time.monotonic() + server.PATIENCE
    while True:
        try:
            return psycopg.connect(**given)
        except psycopg.Error as error:
            if time.monotonic() > limit:
                raise StoreError(
                    f"can't reach {place(url)}: {_line(error)}; `make stop`, then try again, or see the file "
                    "'log' there"
                ) from error
        server.start()
        time.sleep(0.1)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"the database can't hold {str(value)[:80]} ({error}): leave NaN and infinity out, or write null"
        ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
