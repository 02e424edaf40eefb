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
from sqlalchemy import make_url, text

from core.errors import ConfigError, RecordError, StoreError
from core.store import server
from core.store.cluster import known_cluster
from core.store.engine import engine, transaction
from core.store.migrate import migrate

REPOSITORY = Path(__file__).parents[3]
START = "from core.store import server; server.start(); print(server.running())"
WRITE = """
from sqlalchemy import make_url, text
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


def test_root_is_told_what_to_open_and_nothing_is_opened(embedded, monkeypatch):
    """A data folder that others can't pass is refused by name, and keeps its mode."""
    embedded.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    with pytest.raises(ConfigError, match=f"chmod o\\+x {embedded}`, set OVERNIGHT_HOME"):
        server.start()

    assert embedded.stat().st_mode & 0o777 == 0o700
    assert not (embedded / "postgres").exists()


def test_a_folder_of_someone_else_is_refused(embedded, as_a_user):
    """The message names its owner: root's, for a user."""
    embedded.chmod(0o777)
    (embedded / "postgres").symlink_to("/usr")

    said = as_a_user(server.start)

    assert said.startswith(
        f"ConfigError: {embedded / 'postgres'} belongs to root: run as that user, set OVERNIGHT"
    )


def test_a_path_too_long_for_a_socket_is_refused(embedded, monkeypatch):
    """The message says by how much, and what to set."""
    monkeypatch.setenv("OVERNIGHT_HOME", str(embedded / ("x" * 100)))

    with pytest.raises(ConfigError, match="bytes too long to hold a socket: set OVERNIGHT_HOME"):
        server.start()


def test_another_major_version_is_refused(embedded):
    """A folder of PostgreSQL 17 isn't started by 18, nor changed."""
    (embedded / "postgres").mkdir()
    (embedded / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(ConfigError, match="was made by PostgreSQL 17 and this installation has 18"):
        server.start()


def test_files_that_are_no_database_stay(embedded):
    """A folder of that name with other things in it is left alone."""
    (embedded / "postgres").mkdir()
    (embedded / "postgres" / "letter.txt").write_text("dear")

    with pytest.raises(ConfigError, match="holds files but no database: move it away"):
        server.start()

    assert (embedded / "postgres" / "letter.txt").read_text() == "dear"


def test_with_a_database_of_the_users_nothing_is_started(home, monkeypatch):
    """start() and stop() do nothing then."""
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", "postgresql://somewhere/else")

    server.start()

    assert not server.stop()
    assert list(home.iterdir()) == []


UNREADABLE = "names a database of kind 'unreadable'"


@pytest.mark.parametrize(
    ("kind", "url", "said"),
    [
        (
            StoreError,
            "postgresql://ann:secret@127.0.0.1:1/shop",
            "can't reach postgresql://ann:***@127.0.0.1:1/shop",
        ),
        (
            StoreError,
            "postgres://127.0.0.1:1/shop?password=secret",
            "can't reach postgresql://127.0.0.1:1/shop",
        ),
        (ConfigError, "mysql://ann:secret@host/shop", "names a database of kind 'mysql'"),
        (ConfigError, "ann:secret@host", UNREADABLE),
        (ConfigError, "postgresql://ann:secret@host:port/shop", UNREADABLE),
        (ConfigError, "postgresql://ann:secret@127.0.0.1/shop?mood=x", 'invalid connection option "mood"'),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line_without_the_password(monkeypatch, kind, url, said):
    """What, where, and what to do; only a server that may come back is worth another try."""
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", url)

    with pytest.raises(kind) as raised:
        engine().connect()

    message = str(raised.value)
    assert said in message
    assert "\n" not in message
    assert "secret" not in message
    assert "OVERNIGHT_DATABASE_URL" in message


@pytest.mark.parametrize("wrong", [{"username": "stranger", "password": "secret"}, {"database": "nowhere"}])
def test_a_server_that_turns_the_user_away_is_not_asked_again(database_server, monkeypatch, wrong):
    """No such user, no such database: somebody has to change something."""
    url = database_server.set(**wrong).render_as_string(hide_password=False)
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", url)

    with pytest.raises(
        ConfigError, match=r"turns this user away: .*correct OVERNIGHT_DATABASE_URL"
    ) as raised:
        engine().connect()

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("password", [":wrong", ""])
def test_a_wrong_password_is_not_tried_again(embedded, monkeypatch, password):
    """A server that wants one, given another or none."""
    server.start()
    (embedded / "postgres" / "pg_hba.conf").write_text("local all all scram-sha-256\n")
    known_cluster().call("pg_ctl", "reload", "-D", str(embedded / "postgres"))
    with monkeypatch.context() as patch:
        address = f"postgresql://postgres{password}@/postgres?host={embedded / 'postgres'}"
        patch.setenv("OVERNIGHT_DATABASE_URL", address)
        with pytest.raises(ConfigError, match="turns this user away"):
            engine().connect()


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("57P01", StoreError),  # the server is being shut down
        ("40001", StoreError),  # two transactions in each other's way
        ("53300", StoreError),  # too many connections
        ("42501", ConfigError),  # this user may not
        ("28000", ConfigError),
        ("25006", ConfigError),  # a copy that only reads
        ("23505", RecordError),  # there is such a row already
        ("42P01", RecordError),  # no such table
    ],
)
def test_what_the_database_refuses_is_tried_again_only_if_it_may_pass(database, state, kind):
    """By SQLSTATE, as the server sends it."""
    with pytest.raises(kind) as raised, transaction() as session:
        session.execute(text(f"DO $$ BEGIN RAISE 'no, really' USING ERRCODE = '{state}'; END $$"))

    assert type(raised.value) is kind
    assert "no, really" in str(raised.value)


def test_a_user_without_rights_is_told_what_to_grant(empty_database, database_server, monkeypatch):
    """The tables can't be made: ConfigError, one line, no password."""
    with transaction() as session:
        session.execute(text("DROP ROLE IF EXISTS overnight_guest"))
        session.execute(text("CREATE ROLE overnight_guest LOGIN PASSWORD 'secret'"))
    guest = make_url(empty_database).set(username="overnight_guest", password="secret")
    with monkeypatch.context() as patch:
        patch.setenv("OVERNIGHT_DATABASE_URL", guest.render_as_string(hide_password=False))
        with pytest.raises(
            ConfigError, match=r"does not let this user in or write: permission denied.*GRANT"
        ) as raised:
            migrate()
        engine().dispose()
    with transaction() as session:
        session.execute(text("DROP ROLE overnight_guest"))

    assert "secret" not in str(raised.value)
