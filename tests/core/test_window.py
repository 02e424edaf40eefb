"""Windows begin at whole hours in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.window import window_start

INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("at", "hours", "start"),
    [
        (datetime(2026, 10, 1, 10, 59, 59, tzinfo=UTC), 1, datetime(2026, 10, 1, 10, tzinfo=UTC)),
        (datetime(2026, 10, 1, 11, tzinfo=UTC), 1, datetime(2026, 10, 1, 11, tzinfo=UTC)),
        (datetime(2026, 10, 1, 11, tzinfo=UTC), 4, datetime(2026, 10, 1, 8, tzinfo=UTC)),
        (datetime(2026, 10, 1, 11, tzinfo=UTC), 24, datetime(2026, 10, 1, tzinfo=UTC)),
        (datetime(2026, 10, 1, 10, tzinfo=INDIA), 1, datetime(2026, 10, 1, 4, tzinfo=UTC)),
        (datetime(1969, 12, 31, 23, 30, tzinfo=UTC), 1, datetime(1969, 12, 31, 23, tzinfo=UTC)),
    ],
)
def test_a_moment_lies_in_one_window(at, hours, start):
    """The last second of an hour, its first, and half-hour zones; days begin at midnight; before 1970 too."""
    assert window_start(at, hours) == start


def test_before_the_calendar_there_is_no_window():
    """The year 1 has none that began before it."""
    with pytest.raises(OverflowError):
        window_start(datetime(1, 1, 1, tzinfo=UTC), 7)
