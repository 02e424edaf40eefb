"""Connections to the store, and the one place where the driver's exceptions become ours."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Session

from core.errors import ConfigError, OvernightError, RecordError, StoreError, one_line
from core.store import server

CONNECT_SECONDS = 5
FORBIDDEN = ("28", "3D", "42501", "25006")
"""SQLSTATEs, or their class, that don't pass: who may log in, which database there is, what a user may do, read-only."""
TURNED_AWAY = re.compile(
    r"authentication failed|no password supplied|(role|database) .* does not exist|no pg_hba\.conf entry|"
    r"permission denied|not permitted to log in|SSL was required"
)
"""What says so when the connection was never made: libpq gives no SQLSTATE then, only the server's words."""


def engine() -> Engine:
    """The engine for the database in use, one a process."""
    return _engine(server.database_url().render_as_string(hide_password=False), os.getpid())


@contextmanager
def transaction() -> Iterator[Session]:
    """All or nothing: committed at the end of the block, undone by an exception.

    Raises: StoreError when the database is away, ConfigError when it turns this user away, RecordError for the rest.
    """
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


@contextmanager
def connection() -> Iterator[psycopg.Connection]:
    """The driver's own connection, for bulk work: what is not committed in the block is at its end, or undone by an exception.

    Raises: as `transaction`.
    """
    held = engine().raw_connection()
    driver: psycopg.Connection = held.driver_connection  # type: ignore[assignment]
    try:
        yield driver
        driver.commit()
    except psycopg.Error as error:
        raise driver_error(error) from error
    finally:
        if driver.info.transaction_status is TransactionStatus.ACTIVE:
            held.invalidate()  # an exception left a stream in the middle: there is no undoing over this connection
        held.close()  # the pool undoes what is open


def store_error(error: SQLAlchemyError) -> OvernightError:
    """What the database said, as one line: a StoreError when it may pass, else a ConfigError or a RecordError."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.Error):
        return driver_error(error.orig, lost=error.connection_invalidated)
    return RecordError(
        f"{place(server.database_url())} was asked for something impossible: {one_line(error)}"
    )


def driver_error(error: psycopg.Error, *, lost: bool = False) -> OvernightError:
    """The same for the driver's own errors; `lost` where the connection is known to be gone."""
    where, words, state = place(server.database_url()), one_line(error), error.sqlstate or ""
    if state.startswith(FORBIDDEN):
        return ConfigError(
            f"{where} does not let this user in or write: {words}; give it a database of its own "
            "(GRANT ALL ON DATABASE), or name another user or database in OVERNIGHT_DATABASE_URL"
        )
    if lost or isinstance(error, psycopg.OperationalError):
        return StoreError(f"{where} broke off: {words}; nothing of this step was kept, try again")
    hint = "; record what it names first" if "is not present in table" in words else ""
    if isinstance(error, psycopg.errors.UndefinedTable):
        hint = "; its tables are missing: `make up` makes them, and so does core.store.migrate.migrate()"
    return RecordError(f"{where} refused: {words}{hint}")


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
    except psycopg.OperationalError as error:
        words = one_line(error)
        if TURNED_AWAY.search(words):
            raise ConfigError(
                f"{place(url)} turns this user away: {words}; correct OVERNIGHT_DATABASE_URL (unset it to use the embedded "
                "one), or create that user and database"
            ) from error
        raise StoreError(
            f"can't reach {place(url)}: {words}; start that server or correct OVERNIGHT_DATABASE_URL "
            "(unset it to use the embedded one)"
        ) from error
    except psycopg.Error as error:
        raise ConfigError(
            f"{place(url)} is no address of a database: {one_line(error)}; correct OVERNIGHT_DATABASE_URL"
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
                    f"can't reach {place(url)}: {one_line(error)}; `make stop`, then try again, or see the file "
                    "'log' there"
                ) from error
        server.start()
        time.sleep(0.1)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise RecordError(
            f"the database can't hold {str(value)[:80]} ({error}): leave NaN and infinity out, or write null"
        ) from error
