"""Where decisions come from, and up to when a run knows what happened."""

from datetime import UTC, date, datetime, timedelta

from core.config import load_config
from core.store.engine import connection
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.desk import NO_DAY, end_of
from core.use_cases.decision_agents.gathering import gather, known_until

INDEX = """\
Package: chess
Section: games
Description: play chess

Package: letters
Section: mail
Description: send letters
"""
APP = {"kind": "sqlite", "table": "Decision"}


def configured(**overrides) -> DecisionAgentsConfig:
    return load_config(DecisionAgentsConfig, "decision_agents", "demo", overrides)


def nothing(_share, _words):
    pass


def test_a_run_knows_its_day_and_never_the_future_of_an_app():
    """The generators' days are over when they say so; an app's is not before it is."""
    day = date(2026, 11, 20)
    assert known_until(configured()) == end_of(NO_DAY)
    assert known_until(configured(as_of=day)) == datetime(2026, 11, 21, tzinfo=UTC)
    assert known_until(configured(as_of=day, source=APP)) == datetime(2026, 11, 21, tzinfo=UTC)
    before = datetime.now(UTC)
    for today in (before.date(), None):
        assert before <= known_until(configured(as_of=today, source=APP)) <= datetime.now(UTC)
    assert known_until(configured(as_of=before.date() + timedelta(days=9), source=APP)) <= datetime.now(UTC)


def test_packages_stand_in_for_the_desk(database, tmp_path):
    """One way in for both; the same again changes nothing."""
    file = tmp_path / "Packages"
    file.write_text(INDEX)
    config = configured(packages={"file": str(file), "sections": ["games", "mail"]})
    assert gather(config, None, nothing).written == 2
    assert gather(config, None, nothing).unchanged == 2
    with connection() as held:
        found = held.execute("SELECT DISTINCT source, agent_type FROM overnight.decisions").fetchall()
    assert found == [("packages", "FILER")]
