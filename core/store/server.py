"""Where the database is, and the embedded one's life: found by every process, outliving the one that started it."""

import fcntl
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from core.errors import ConfigError, StoreError
from core.files import data_folder, make_folder, writing
from core.store.cluster import Cluster, cluster_folder, known_cluster, open_cluster

PATIENCE = 30
"""Seconds for a killed server's remains to go away before a new one must stand."""
DRIVER = "postgresql+psycopg"
DIALECTS = ("postgres", "postgresql", DRIVER)


def given_url() -> str | None:
    """The database the user named, or None for the embedded one."""
    return os.environ.get("OVERNIGHT_DATABASE_URL") or None


def database_url() -> URL:
    """Where the database is; nothing is started. Raises: ConfigError for a URL that can't be read."""
    given = given_url()
    if given is None:
        query = {"host": str(cluster_folder()), "port": "5432"}
        return URL.create(DRIVER, username="postgres", database="postgres", query=query)
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        url = URL.create("unreadable")
    if url.drivername not in DIALECTS:
        raise ConfigError(
            f"OVERNIGHT_DATABASE_URL names a database of kind '{url.drivername}': write it as "
            "postgresql://user:password@host:5432/database, or unset it to use the embedded one"
        )
    return url.set(drivername=DRIVER)


def start() -> None:
    """Start the embedded server unless it runs; with OVERNIGHT_DATABASE_URL there is nothing to start.

    Raises: ConfigError when the data folder can't hold one, StoreError, StorageError.
    """
    if given_url() is not None:
        return
    with _alone():
        if running() is None:
            _start(open_cluster())


def stop() -> bool:
    """End the embedded server; whether it was running. Raises: ConfigError for someone else's, StoreError."""
    if given_url() is not None or not cluster_folder().is_dir():
        return False
    with _alone():
        cluster = known_cluster() if running() else None
        if cluster is None:
            return False
        cluster.call("pg_ctl", "stop", "--mode=fast", "--wait", "--timeout=60", "-D", str(cluster.folder))
    return True


def running() -> int | None:
    """The embedded server's process id, or None.

    The file that names it outlives a killed server, and its number may be another process's by now.
    """
    try:
        pid = int((cluster_folder() / "postmaster.pid").read_text().split()[0])
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE and str(cluster_folder()) in process.cmdline()
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return pid if alive else None


def _start(cluster: Cluster) -> None:
    """Start the server and wait for it, for as long as a killed one's children may take to go."""
    options = f"-p 5432 -h '' -k {shlex.quote(str(cluster.folder))}"
    limit = time.monotonic() + PATIENCE
    while True:
        _forget_reused_number(cluster)
        try:
            return cluster.call(
                *("pg_ctl", "start", "--wait", "--timeout=60"),
                *("-D", str(cluster.folder), "-l", str(cluster.log), "-o", options),
            )
        except StoreError as error:
            if time.monotonic() > limit:
                raise StoreError(
                    f"the embedded PostgreSQL does not start: see {cluster.log}. {error}"
                ) from error
        time.sleep(0.3)


def _forget_reused_number(cluster: Cluster) -> None:
    """Remove a killed server's pid file when its number is a zombie's or another program's by now.

    PostgreSQL takes that for a running server. Children of the killed one, while they live, hold its shared
    memory, and PostgreSQL checks that itself.
    """
    file = cluster.folder / "postmaster.pid"
    try:
        reused = psutil.pid_exists(int(file.read_text().split()[0]))
    except (FileNotFoundError, ValueError, IndexError):
        return
    if reused and running() is None:
        file.unlink()


@contextmanager
def _alone() -> Iterator[None]:
    """One start or stop at a time, over all processes."""
    path = make_folder(data_folder()) / "postgres.lock"
    with writing(path):
        lock = path.open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
