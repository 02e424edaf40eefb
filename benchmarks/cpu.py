"""CPU time of this process and of the embedded PostgreSQL together: what a row costs wherever the work is done."""

import time
from collections.abc import Callable

import psutil

from core.store import server


def cpu_seconds(work: Callable[[], object]) -> float:
    """Seconds of CPU that a piece of work took, client and server."""
    before = _spent()
    work()
    return _spent() - before


def _spent() -> float:
    pid = server.running()
    return time.process_time() + (0.0 if pid is None else _tree(psutil.Process(pid)))


def _tree(postmaster: psutil.Process) -> float:
    """Of the server's process, of its children, and of those that ended."""
    times = postmaster.cpu_times()
    spent = times.user + times.system + times.children_user + times.children_system
    for child in postmaster.children():
        try:
            child_times = child.cpu_times()
        except psutil.NoSuchProcess:  # it is among those that ended the next time
            continue
        spent += child_times.user + child_times.system
    return float(spent)
