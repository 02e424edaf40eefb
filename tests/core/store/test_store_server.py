"""The embedded PostgreSQL: found by all, outlives who started it, comes back when killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from core.errors import StoreError
from core.store import server
from core.store.engine import engine, transaction

REPOSITORY = Path(__file__).parents[3]
START = "from core.store import server; server.start(); print(server.running())"
WRITE = """
from sqlalchemy import text
from core.store.engine import transaction
with transaction() as session:
    session.execute(text("INSERT INTO kept VALUES (2)"))
"""


@pytest.fixture(scope="module")
def shared_home():
    """A data folder whose PostgreSQL several tests kill in turn."""
    home = Path(tempfile.mkdtemp(prefix="overnight-", dir="/tmp"))
    home.chmod(0o755)
    yield home
    with pytest.MonkeyPatch.context() as patch:
        use(patch, home)
        server.stop()
    shutil.rmtree(home)


@pytest.fixture
def killable(shared_home, monkeypatch):
    """That folder in use, with an empty table."""
    use(monkeypatch, shared_home)
    with transaction() as session:
        session.execute(text("DROP TABLE IF EXISTS kept"))
        session.execute(text("CREATE TABLE kept (number int)"))
    yield shared_home
    engine().dispose()


def use(patch, home):
    patch.setenv("OVERNIGHT_HOME", str(home))
    patch.delenv("OVERNIGHT_DATABASE_URL", raising=False)


def python(code):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def insert_and_kill():
    """Write a row, and lose the server before it is committed."""
    with transaction() as session:
        session.execute(text("INSERT INTO kept VALUES (1)"))
        os.kill(server.running(), signal.SIGKILL)
        session.execute(text("SELECT pg_sleep(60)"))


def kept():
    with transaction() as session:
        return list(session.execute(text("SELECT number FROM kept ORDER BY number")).scalars())


def test_processes_that_start_at_once_share_one_server_that_outlives_them(embedded):
    """Three starts at once on a folder where a start was killed before: one server, no word on the terminal."""
    (embedded / "postgres.new").mkdir()
    (embedded / "postgres.new" / "PG_VERSION").write_text("18\n")

    started = [python(START) for _ in range(3)]
    said = {process.communicate(timeout=120)[0].strip() for process in started}

    assert said == {str(server.running())}
    assert server.running() is not None


def test_a_killed_server_comes_back_with_what_was_committed(killable):
    """SIGKILL to the server while a connection is open: the same process and a new one go on working."""
    with transaction() as session:
        session.execute(text("INSERT INTO kept VALUES (1)"))
    first = server.running()

    os.kill(first, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first)] if psutil.pid_exists(first) else [], timeout=10)

    assert kept() == [1]
    assert server.running() not in (None, first)
    os.kill(server.running(), signal.SIGKILL)
    writer = python(WRITE)
    assert writer.communicate(timeout=120)[0] == ""
    assert kept() == [1, 2]


def test_a_process_number_that_was_given_away_is_not_taken_for_the_server(killable):
    """After a power cut the pid file names some other process; the server starts anyway, and stops once."""
    assert server.stop()
    assert not server.stop()
    stale = killable / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{killable / 'postgres'}\n1\n5432\n{killable / 'postgres'}\n\n\nready\n")
    owner = (killable / "postgres").stat()
    os.chown(stale, owner.st_uid, owner.st_gid)

    assert server.running() is None
    server.start()

    assert server.running() not in (None, os.getpid())


def test_a_lost_connection_says_that_nothing_was_kept(killable):
    """The server dies inside a transaction: one line, and the half of it that was done is undone."""
    with pytest.raises(StoreError, match="nothing of this step was kept, try again"):
        insert_and_kill()

    assert kept() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_root_is_told_what_to_open_and_nothing_is_opened(embedded):
    """A data folder that others can't pass is refused by name, and keeps its mode."""
    embedded.chmod(0o700)

    with pytest.raises(StoreError, match=f"chmod o\\+x {embedded}`, set OVERNIGHT_HOME"):
        server.start()

    assert embedded.stat().st_mode & 0o777 == 0o700
    assert not (embedded / "postgres").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use anyone's folder")
def test_a_folder_of_someone_else_is_refused(embedded, monkeypatch):
    """The message names its owner."""
    (embedded / "postgres").mkdir()

    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(StoreError, match="belongs to"):
            server.start()


def test_a_path_too_long_for_a_socket_is_refused(embedded, monkeypatch):
    """The message says by how much, and what to set."""
    monkeypatch.setenv("OVERNIGHT_HOME", str(embedded / ("x" * 100)))

    with pytest.raises(StoreError, match="bytes too long to hold a socket: set OVERNIGHT_HOME"):
        server.start()


def test_another_major_version_is_refused(embedded):
    """A folder of PostgreSQL 17 isn't started by 18, nor changed."""
    (embedded / "postgres").mkdir()
    (embedded / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(StoreError, match="was made by PostgreSQL 17 and this installation has 18"):
        server.start()


def test_files_that_are_no_database_stay(embedded):
    """A folder of that name with other things in it is left alone."""
    (embedded / "postgres").mkdir()
    (embedded / "postgres" / "letter.txt").write_text("dear")

    with pytest.raises(StoreError, match="holds files but no database: move it away"):
        server.start()

    assert (embedded / "postgres" / "letter.txt").read_text() == "dear"


def test_with_a_database_of_the_users_nothing_is_started(home, monkeypatch):
    """start() and stop() do nothing then."""
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", "postgresql://somewhere/else")

    server.start()

    assert not server.stop()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ann:secret@127.0.0.1:1/shop", r"can't reach postgresql://ann:\*\*\*@127.0.0.1:1/shop"),
        ("postgres://127.0.0.1:1/shop?password=secret", "can't reach postgresql://127.0.0.1:1/shop"),
        ("mysql://ann:secret@host/shop", "names a database of kind 'mysql'"),
        ("ann:secret@host", "names a database of kind 'unreadable'"),
        ("postgresql://ann:secret@host:port/shop", "names a database of kind 'unreadable'"),
    ],
)
def test_a_database_out_of_reach_is_one_line_without_the_password(monkeypatch, url, said):
    """What, where, and what to do; the connection isn't retried."""
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", url)

    with pytest.raises(StoreError, match=said) as raised:
        engine().connect()

    message = str(raised.value)
    assert "\n" not in message
    assert "secret" not in message
    assert "OVERNIGHT_DATABASE_URL" in message
