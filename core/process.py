"""A process that another one finds again: its number alone is not enough, the system gives it away anew."""

import psutil

SAME_START = 2.0
"""Seconds that two readings of one process's start may differ by, after the clock was set."""


def find_process(number: int, started: float) -> psutil.Process | None:
    """The living process of that number and start (seconds since 1970); None when it has ended."""
    try:
        process = psutil.Process(number)
        same = abs(process.create_time() - started) < SAME_START
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (ValueError, psutil.NoSuchProcess):
        return None
