"""One at a time, over all machines: a lease that is renewed by the transactions it protects.

A worker that was killed is found out at once on its own machine, elsewhere when its lease runs out. One that is only
slow can't do harm: `renew` stands in the transaction of each of its pages, and fails once somebody else holds the lease.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import psycopg

from core.errors import BusyError, LeaseLostError
from core.process import find_process
from core.store.engine import connection

SECONDS = 120
"""How long a lease holds after its last renewal."""
RENEW = """
    UPDATE overnight.leases SET expires_at = clock_timestamp() + make_interval(secs => %s) WHERE name = %s AND holder = %s
"""
TAKE = """
    INSERT INTO overnight.leases (name, holder, host, process, process_started, acquired_at, expires_at)
    VALUES (%(name)s, %(holder)s, %(host)s, %(process)s, %(started)s, now(), clock_timestamp() + make_interval(secs => %(seconds)s))
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, host = excluded.host, process = excluded.process,
        process_started = excluded.process_started, acquired_at = now(), expires_at = excluded.expires_at
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """What the holder shows when it commits."""

    name: str
    holder: str
    seconds: float

    def renew(self, held: psycopg.Connection) -> None:
        """In the transaction of the work it protects. Raises: LeaseLostError, and nothing of the work is kept."""
        if held.execute(RENEW, (self.seconds, self.name, self.holder)).rowcount != 1:
            raise LeaseLostError(
                f"'{self.name}' was taken over while {self.holder} worked on it: nothing of this step was kept; "
                "whoever has it now goes on"
            )


@contextmanager
def lease(name: str, holder: str, seconds: float = SECONDS) -> Iterator[Lease]:
    """Hold a name alone during the block. Raises: BusyError when somebody holds it, StoreError."""
    with connection() as held:
        held.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"lease {name}",))
        _need_free(held, name, holder)
        held.execute(TAKE, _here() | {"name": name, "holder": holder, "seconds": seconds})
    try:
        yield Lease(name, holder, seconds)
    finally:
        with connection() as held:
            held.execute("DELETE FROM overnight.leases WHERE name = %s AND holder = %s", (name, holder))


def _need_free(held: psycopg.Connection, name: str, holder: str) -> None:
    """A lease is free when it ran out, or its process on this machine is gone, or the holder takes it again."""
    query = """
        SELECT holder, host, process, process_started, acquired_at FROM overnight.leases
        WHERE name = %s AND holder <> %s AND expires_at > clock_timestamp()
    """
    row = held.execute(query, (name, holder)).fetchone()
    if row is None:
        return
    other, host, process, started, since = row
    if host == socket.gethostname() and find_process(process, started) is None:
        return
    raise BusyError(
        f"'{name}' is held by {other} (process {process} on {host}, since {since:%Y-%m-%d %H:%M} UTC)"
    )


def _here() -> dict[str, object]:
    number = os.getpid()
    return {"host": socket.gethostname(), "process": number, "started": psutil.Process(number).create_time()}
