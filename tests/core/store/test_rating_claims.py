"""When ratings are worth a training: what is new, how long it waits, and what a run took that failed."""

from datetime import UTC, datetime, timedelta

import pytest

from core.accounting import Accounting
from core.store.engine import connection
from core.store.rating_claims import OnlineSettings, claim, online_status, use
from core.store.ratings import ingest_entries, ingest_ratings
from core.store.runs import finish_run, record_run

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = OnlineSettings(min_samples_to_retrain=3)


def rated(*names):
    entries = [{"entry_id": name, "prompt": f"{name}?", "response": "Yes."} for name in names]
    votes = [{"entry_id": name, "rating": "up", "rated_at": AT} for name in names]
    assert sum(ingest_entries("app", entries), Accounting()).written == len(names)
    assert sum(ingest_ratings("app", votes, now=AT + HOUR), Accounting()).written == len(names)


def ran(name, ended):
    record_run(run_id=name, use_case="x", preset="x", config_digest="x", code_revision="x", config={})
    assert claim("app", name)
    if ended is not None:
        finish_run(name, ended)
        with connection() as held:
            held.execute("UPDATE overnight.runs SET finished_at = %s WHERE id = %s", (AT + HOUR, name))


def test_enough_of_them_or_a_day(database):
    """A new rating is enough once the oldest, or the last training, is a day ago."""
    rated("a", "b")
    early, late = (online_status("app", SETTINGS, AT + hours * HOUR) for hours in (23, 24))
    assert (early.should_retrain, early.reason) == (
        False,
        "2 new ratings, of at least 3, or any after 24 hours",
    )
    assert (late.should_retrain, late.reason) == (True, "2 new ratings, and 24 hours have passed")
    rated("c")
    assert online_status("app", SETTINGS, AT).should_retrain
    ran("first", None)
    assert use("app", "first") == 3
    assert online_status("app", SETTINGS, AT).buffer_size == 0


@pytest.mark.parametrize(("ended", "again"), [("failed", False), ("crashed", True), (None, True)])
def test_what_a_run_took_that_failed_waits(database, ended, again):
    """It would fail again each hour; a run that was killed left its ratings to the next."""
    rated("a", "b", "c")
    ran("first", ended)
    found = online_status("app", SETTINGS, AT + 2 * HOUR)
    assert (found.should_retrain, found.buffer_size, found.failed) == (again, 3, 0 if again else 3)


def test_new_ratings_or_a_day_end_the_wait(database):
    """Nothing is lost by it: the next run learns from all."""
    rated("a", "b", "c")
    ran("first", "failed")
    rated("d", "e")
    found = online_status("app", SETTINGS, AT + 2 * HOUR)
    assert (found.should_retrain, found.next_check) == (False, AT + 25 * HOUR)
    assert found.reason.startswith(
        "5 new ratings (3 of them were taken by a run that failed), of at least 3, or any"
    )
    assert online_status("app", SETTINGS, AT + 25 * HOUR).should_retrain
    rated("f")
    assert online_status("app", SETTINGS, AT + 2 * HOUR).should_retrain
    assert claim("app", "second") == 6
    assert online_status("app", SETTINGS, AT + 2 * HOUR).failed == 0
