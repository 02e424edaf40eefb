"""Windows of time in which agents are held against each other, in UTC."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def window_start(at: datetime, hours: int = 1) -> datetime:
    """The start of the window that a moment lies in: whole hours, counted from 1970, so that days begin at midnight.

    Raises: OverflowError for a moment before which no calendar has a window.
    """
    length = timedelta(hours=hours)
    return EPOCH + (at - EPOCH) // length * length
