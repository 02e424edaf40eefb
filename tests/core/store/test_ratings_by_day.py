"""Ratings out of the store: counted by user, model and day, in one order, a row at a time."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from core.config import ROOT
from core.experiment import Arm, ExperimentSettings, assign
from core.experiment.run import ExperimentRun, analyse_ratings, open_experiment
from core.store.engine import connection
from core.store.ratings_by_day import rated_days

AT = datetime(2026, 11, 1, 23, tzinfo=UTC)
LATER = AT + timedelta(days=100)
INSERT = """
    INSERT INTO overnight.ratings (source, entry_id, rater_id, rating, model_version, rated_at)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
MANY = """
    INSERT INTO overnight.ratings (source, entry_id, rater_id, rating, model_version, rated_at)
    SELECT 'app', n, 'u' || n %% (%(count)s / 5), CASE WHEN n %% 3 = 0 THEN 'down' ELSE 'up' END,
        'm' || n %% (%(count)s / 5) %% 2, timestamptz '2026-11-01 12:00+00' + n %% 20 * interval '1 day'
    FROM generate_series(1, %(count)s) n
"""


def rate(*rows, source="app"):
    """Rows of entry, user, rating, version and hours after `AT`."""
    with connection() as held, held.cursor() as cursor:
        values = [
            (source, entry, user, rating, version, AT + timedelta(hours=hours))
            for entry, user, rating, version, hours in rows
        ]
        cursor.executemany(INSERT, values)


def read(source="app", since=None, until=LATER):
    with connection() as held:
        return list(rated_days(held, source, since, until))


def test_ratings_are_counted_by_user_model_and_day(database):
    """Days are UTC's, users come in the order of their bytes, and other sources' ratings are not among them."""
    rate(
        ("e1", "b", "up", "m1", 0),
        ("e2", "b", "down", "m1", 0.5),
        ("e3", "b", "up", "m1", 1),
        ("e4", "b", "up", None, 1),
        ("e1", "B", "down", "m2", 0),
        ("e1", "é", "up", "m2", 0),
    )
    rate(("e1", "b", "up", "m1", 0), source="other")
    first, second = date(2026, 11, 1), date(2026, 11, 2)
    assert read() == [
        ("B", "m2", first, 1, 0),
        ("b", "m1", first, 2, 1),
        ("b", "m1", second, 1, 1),
        ("b", None, second, 1, 1),
        ("é", "m2", first, 1, 1),
    ]
    assert read(source="nobody") == []


def test_a_window_begins_with_its_start_and_ends_before_its_end(database):
    """Whatever zone its ends are given in."""
    rate(*((f"e{hours}", "u", "up", "m1", hours) for hours in range(4)))
    east = timezone(timedelta(hours=9))
    found = read(since=(AT + timedelta(hours=1)).astimezone(east), until=AT + timedelta(hours=3))
    assert [(row.day.day, row.ratings) for row in found] == [(2, 2)]


def settings(**change):
    arms = (Arm(name="champion", share=0.5, model="m0"), Arm(name="canary", share=0.5, model="m1"))
    return ExperimentSettings(name="tone", arms=arms, **change)


def test_an_analysis_stands_on_the_stores_ratings(database):
    """Users of the hash's arms, from `since` to `until`; later ratings are for another night."""
    mine = [assign(settings(), f"u{number:03}").name == "champion" for number in range(200)]
    rate(
        *(
            (
                f"e{day}",
                f"u{number:03}",
                "up" if number % 3 else "down",
                "m0" if mine[number] else "m1",
                24 * day,
            )
            for number in range(200)
            for day in range(3)
        )
    )
    since, until = AT + timedelta(days=1), AT + timedelta(days=2)
    run = ExperimentRun(id="r", source="app", experiment=settings(since=since, until=until))
    found = analyse_ratings(run, LATER)
    assert [(arm.version, arm.users, arm.ratings) for arm in found.arms] == [
        ("m0", sum(mine), sum(mine)),
        ("m1", 200 - sum(mine), 200 - sum(mine)),
    ]
    assert (found.misrouted, found.in_two_arms, found.as_of) == (0, 0, until)
    assert [look.day for look in found.comparisons[0].looks] == [date(2026, 11, 2)]
    run = ExperimentRun(id="r", source="app", experiment=settings())
    assert sum(arm.ratings for arm in analyse_ratings(run, until).arms) == 400
    assert sum(arm.ratings for arm in analyse_ratings(run, LATER).arms) == 600


def test_a_run_is_written_down_with_what_it_asks(database, home, tmp_path, ask):
    """The experiment as it stands in its file, before any work."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "experiments: [{name: tone, arms: [{name: a, share: 0.5, model: x}, {name: b, share: 0.5, model: y}]}]"
    )
    run = open_experiment("r1", "tone", "app", str(path))
    assert run.folder == home / "runs" / "r1"
    ((use_case, status, config),) = ask("SELECT use_case, status, config FROM overnight.runs")
    assert (use_case, status, config["source"]) == ("experiment", "running", "app")
    assert [arm["model"] for arm in config["experiment"]["arms"]] == ["x", "y"]


@pytest.mark.slow
def test_a_hundred_thousand_ratings_take_no_more_memory_than_few(database):
    """They are counted where they lie, and come a row at a time."""
    with connection() as held:
        held.execute(MANY, {"count": 100_000})
    code = f"""
import resource
from datetime import UTC, datetime
from core.experiment import Arm, ExperimentSettings
from core.experiment.run import ExperimentRun, analyse_ratings
arms = [Arm(name=name, share=0.5, model=name) for name in ("m0", "m1")]
run = ExperimentRun(id="r", source="app", experiment=ExperimentSettings(name="tone", arms=arms))
def peak(until):
    found = analyse_ratings(run, until)
    return sum(arm.ratings for arm in found.arms), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, few = peak(datetime(2026, 11, 2, tzinfo=UTC))
after, many = peak(datetime({LATER.year}, {LATER.month}, {LATER.day}, tzinfo=UTC))
print(before, after, many - few)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    few, many, kilobytes = map(int, done.stdout.split())
    assert (few, many) == (5_000, 100_000)
    assert kilobytes < 20_000
