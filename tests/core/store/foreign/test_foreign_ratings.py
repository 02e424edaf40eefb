"""Ratings out of an app's own table, in a SQLite file and in PostgreSQL."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from core.accounting import Accounting
from core.store.engine import connection
from core.store.foreign.ratings import import_ratings
from core.store.foreign.settings import SourceSettings
from core.store.ratings import ingest_entries

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DJANGO = """
    CREATE TABLE feedback_widgetrating (id TEXT PRIMARY KEY, entry_id TEXT, rating TEXT, tags TEXT, notes TEXT,
    rated_at TEXT, device_id TEXT, created_at TEXT, updated_at TEXT)
"""
RATED = [
    (
        "u1",
        "e1",
        "up",
        '["clear"]',
        "",
        "2026-11-01 10:00:00",
        "phone",
        "2026-11-01 10:00:00",
        "2026-11-01 10:00:00",
    ),
    (
        "u2",
        "e1",
        "down",
        "[]",
        "no",
        "2026-11-02 10:00:00",
        "desk",
        "2026-11-02 10:00:00",
        "2026-11-02 10:00:00",
    ),
    ("u3", "e9", "up", "[]", "", "2026-11-02 10:00:00", "desk", "2026-11-02 10:00:00", "2026-11-02 10:00:00"),
    ("u4", "e1", "maybe", "[]", "", "2026-11-02 10:00:00", "x", "2026-11-02 10:00:00", "2026-11-02 10:00:00"),
]


def settings(**change):
    known = {"name": "app", "kind": "sqlite", "table": "feedback_widgetrating", "watermark": "updated_at"}
    return SourceSettings(**known | change)


def imported(source):
    return sum(import_ratings(source, now=NOW), Accounting())


def stored(query):
    with connection() as held:
        return held.execute(query).fetchall()


@pytest.fixture
def app(tmp_path, monkeypatch, database):
    """A SQLite file of the app's, with its ratings; the entry e1 is known."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as held, held:
        held.execute(DJANGO)
        held.executemany(f"INSERT INTO feedback_widgetrating VALUES ({', '.join('?' * 9)})", RATED)
    monkeypatch.setenv("OVERNIGHT_SOURCE_URL", f"sqlite:///{path}")
    entries = [{"entry_id": "e1", "question": "How are the pumps?", "widget": "kpi"}]
    assert sum(ingest_entries("app", entries), Accounting()).written == 1
    return path


def test_an_apps_ratings_come_once(app):
    """The device is the rater; what can't be used is kept aside, and only what changed is read again."""
    aside = {"unknown_entry": 1, "unknown_rating": 1}
    assert imported(settings()) == Accounting(read=4, written=2, quarantined=aside)
    assert stored("SELECT rater_id, rating, tags, rated_at FROM overnight.ratings ORDER BY 1") == [
        ("desk", "down", [], datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("phone", "up", ["clear"], datetime(2026, 11, 1, 10, tzinfo=UTC)),
    ]
    with closing(sqlite3.connect(app)) as held, held:
        held.execute(
            "UPDATE feedback_widgetrating SET rating = 'down', rated_at = '2026-11-03 10:00:00', "
            "updated_at = '2026-11-03 10:00:00' WHERE id = 'u1'"
        )
    again = imported(settings())
    assert (again.written, again.read < 5) == (1, True)
    assert stored("SELECT rating, revision FROM overnight.ratings WHERE rater_id = 'phone'") == [("down", 2)]


def test_a_table_may_say_what_was_rated(app):
    """Prompt and response beside the thumb: the entry is kept with it."""
    with closing(sqlite3.connect(app)) as held, held:
        held.execute(
            "CREATE TABLE thumbs (id TEXT, entry_id TEXT, rating TEXT, prompt TEXT, response TEXT, model_version TEXT)"
        )
        held.executemany(
            "INSERT INTO thumbs VALUES (?, ?, ?, ?, ?, ?)",
            [("1", "a", "up", "Greet me.", "Hello.", "v1"), ("2", "b", "down", "Greet me.", "", "v1")],
        )
    source = settings(name="chat", table="thumbs", watermark=None)
    found = imported(source)
    assert (found.written, found.quarantined) == (2, {"empty_response": 1, "unknown_entry": 1})
    assert stored("SELECT prompt, response FROM overnight.rated_entries WHERE source = 'chat'") == [
        ("Greet me.", "Hello.")
    ]
    assert stored("SELECT model_version FROM overnight.ratings WHERE source = 'chat'") == [("v1",)]
