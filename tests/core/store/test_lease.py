"""One at a time, whatever becomes of the one."""

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from core.errors import BusyError, LeaseLostError
from core.store.engine import connection
from core.store.lease import Lease, lease

ROOT = Path(__file__).parents[3]
HOLDS = """
import time
from core.store.lease import lease
with lease("job", "another"):
    print("held", flush=True)
    time.sleep(600)
"""


def held(ask):
    return ask("SELECT name, holder FROM overnight.leases")


@pytest.fixture
def another(database):
    """A process that holds 'job'; killed after the test."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_lease_is_held_during_its_block(database, ask):
    """And given back whatever ends it; other names are free; the same holder may take it again."""
    with lease("job", "one"):
        assert held(ask) == [("job", "one")]
        with (
            pytest.raises(BusyError, match=r"'job' is held by one \(process \d+ on .*, since .* UTC\)"),
            lease("job", "two"),
        ):
            pass
        with lease("other job", "two"):
            assert len(held(ask)) == 2
    assert held(ask) == []
    with pytest.raises(KeyError), lease("job", "one"):
        raise KeyError
    assert held(ask) == []


def test_a_killed_holder_is_found_out_at_once(another, ask):
    """Busy while it lives, free the moment it is gone, long before its lease runs out."""
    with pytest.raises(BusyError, match="held by another"), lease("job", "one"):
        pass
    another.send_signal(signal.SIGKILL)
    another.wait()
    assert held(ask) == [("job", "another")]
    with lease("job", "one"):
        assert held(ask) == [("job", "one")]


def test_a_holder_on_another_machine_has_its_time(database, ask):
    """Its process can't be seen from here: it is busy until its lease runs out."""
    with lease("job", "one"):
        ask("UPDATE overnight.leases SET host = 'far away', process = 1 RETURNING 1")
        with pytest.raises(BusyError, match="process 1 on far away"), lease("job", "two"):
            pass
        ask("UPDATE overnight.leases SET expires_at = now() RETURNING 1")
        with lease("job", "two"):
            assert held(ask) == [("job", "two")]


def test_a_lease_that_is_renewed_lasts(database, ask):
    """Each renewal gives it its whole time again."""
    with lease("job", "one", seconds=600) as mine:
        ask("UPDATE overnight.leases SET expires_at = now() + interval '1 second' RETURNING 1")
        with connection() as working:
            mine.renew(working)
        assert ask("SELECT expires_at > now() + interval '9 minutes' FROM overnight.leases") == [(True,)]


def work(mine):
    with connection() as working:
        working.execute("INSERT INTO overnight.watermarks (name, position) VALUES ('mine', '{}')")
        mine.renew(working)


def test_who_lost_a_lease_commits_nothing(database, ask):
    """The work of the transaction that finds out is undone; the new holder keeps its lease at the loser's end."""
    with lease("job", "slow") as mine:
        ask("UPDATE overnight.leases SET expires_at = now() RETURNING 1")
        with lease("job", "quick"):
            with pytest.raises(LeaseLostError, match="'job' was taken over while slow worked on it"):
                work(mine)
            assert ask("SELECT * FROM overnight.watermarks") == []
            assert held(ask) == [("job", "quick")]
    assert held(ask) == []


def test_nobody_takes_over_while_a_page_is_committed(database):
    """`renew` locks the lease's row until its transaction ends: a taker waits, and then finds it renewed."""
    with lease("job", "one") as mine, connection() as working:
        mine.renew(working)
        with connection() as other:
            other.execute("SET LOCAL lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("UPDATE overnight.leases SET holder = 'two' WHERE name = 'job'")
            other.rollback()


def test_a_lease_that_nobody_gave_is_none(database):
    """Made up, it renews nothing."""
    with connection() as working, pytest.raises(LeaseLostError):
        Lease("job", "nobody", 10).renew(working)
