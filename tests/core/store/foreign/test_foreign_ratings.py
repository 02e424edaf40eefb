"""Ratings out of an app's own table, in a SQLite file and in PostgreSQL."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import psycopg
import pytest

from core.accounting import Accounting
from core.store.engine import connection
from core.store.foreign.ratings import import_ratings
from core.store.foreign.settings import SourceSettings
from core.store.ratings import ingest_entries

NOW = datetime(2026, 11, 20, tzinfo=UTC)
KINDS = ("sqlite", "postgresql")
DJANGO = {
    "sqlite": """
        CREATE TABLE feedback_widgetrating (id TEXT PRIMARY KEY, entry_id TEXT, rating TEXT, tags TEXT, notes TEXT,
        rated_at TEXT, device_id TEXT, created_at TEXT, updated_at TEXT)
    """,
    "postgresql": """
        CREATE TABLE feedback_widgetrating (id VARCHAR(40) PRIMARY KEY, entry_id VARCHAR(255) NOT NULL,
        rating VARCHAR(10) NOT NULL, tags JSONB NOT NULL, notes TEXT NOT NULL, rated_at TIMESTAMPTZ NOT NULL,
        device_id VARCHAR(100) NOT NULL, created_at TIMESTAMPTZ NOT NULL, updated_at TIMESTAMPTZ NOT NULL)
    """,
}
"""As Django makes it in either database."""


def thumb(name, entry, rating, day, *, device, tags="[]", notes=""):
    at = f"2026-11-{day:02} 10:00:00+00:00"
    return name, entry, rating, tags, notes, at, device, at, at


RATED = [
    thumb("u1", "e1", "up", 1, device="phone", tags='["clear"]'),
    thumb("u2", "e1", "down", 2, device="desk", notes="no"),
    thumb("u3", "e9", "up", 2, device="desk"),
    thumb("u4", "e1", "maybe", 2, device="x"),
]


class App:
    """An app's database, and how its client reaches it."""

    def __init__(self, kind, url):
        self.kind, self.url = kind, url

    def execute(self, statement, rows=((),)):
        """A statement for each of the rows, with ? for its values."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as held, held:
                held.executemany(statement, rows)
            return
        with psycopg.connect(self.url) as held, held.cursor() as cursor:
            cursor.executemany(statement.replace("?", "%s"), rows)

    def settings(self, **change):
        """How a use case names it."""
        known = {
            "name": "app",
            "kind": self.kind,
            "table": "feedback_widgetrating",
            "watermark": "updated_at",
        }
        return SourceSettings(**known | change)


def imported(source):
    return sum(import_ratings(source, now=NOW), Accounting())


def stored(query):
    with connection() as held:
        return held.execute(query).fetchall()


@pytest.fixture(params=KINDS)
def app(request, tmp_path, monkeypatch, database):
    """An app's database with its ratings; the entry e1 is known."""
    url = f"sqlite:///{tmp_path / 'app.db'}" if request.param == "sqlite" else database
    app = App(request.param, url)
    app.execute(DJANGO[app.kind])
    app.execute(f"INSERT INTO feedback_widgetrating VALUES ({', '.join('?' * 9)})", RATED)
    monkeypatch.setenv("OVERNIGHT_SOURCE_URL", url)
    entries = [{"entry_id": "e1", "question": "How are the pumps?", "widget": "kpi"}]
    assert sum(ingest_entries("app", entries), Accounting()).written == 1
    return app


def test_an_apps_ratings_come_once(app):
    """The device is the rater; what can't be used is kept aside, and only what changed is read again."""
    aside = {"unknown_entry": 1, "unknown_rating": 1}
    assert imported(app.settings()) == Accounting(read=4, written=2, quarantined=aside)
    assert stored("SELECT rater_id, rating, tags, notes, rated_at FROM overnight.ratings ORDER BY 1") == [
        ("desk", "down", [], "no", datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("phone", "up", ["clear"], None, datetime(2026, 11, 1, 10, tzinfo=UTC)),
    ]
    app.execute(
        "UPDATE feedback_widgetrating SET rating = 'down', rated_at = '2026-11-03 10:00:00+00:00', "
        "updated_at = '2026-11-03 10:00:00+00:00' WHERE id = 'u1'"
    )
    again = imported(app.settings())
    assert (again.written, again.read < 5) == (1, True)
    assert stored("SELECT rating, revision FROM overnight.ratings WHERE rater_id = 'phone'") == [("down", 2)]


def test_a_vote_on_something_else_is_no_vote_on_what_its_id_stands_for(app):
    """Two rows show two widgets under one id: the first is kept with its vote, whoever else is there; the other is set aside."""
    app.execute(
        "CREATE TABLE shown (id TEXT, entry_id TEXT, rating TEXT, user_id TEXT, query TEXT, widget TEXT)"
    )
    rows = [("1", "a", "up", "ann", "How?", "kpi"), ("2", "a", "down", "bob", "How?", "trend"),
            ("3", "a", "up", "cid", "How?", "kpi"), ("4", "a", "up", "dan", None, None)]  # fmt: skip
    app.execute("INSERT INTO shown VALUES (?, ?, ?, ?, ?, ?)", rows)
    source = app.settings(name="other", table="shown", watermark=None)
    expected = Accounting(read=6, written=4, quarantined={"duplicate_entry": 2})
    assert imported(source) == expected
    raters = "SELECT rater_id FROM overnight.ratings WHERE source = 'other' ORDER BY 1"
    assert stored(raters) == [("ann",), ("cid",), ("dan",)]
    assert imported(source) == Accounting(read=6, unchanged=4, quarantined={"duplicate_entry": 2})
    assert stored(raters) == [("ann",), ("cid",), ("dan",)]


def test_a_table_may_say_what_was_rated(app):
    """Prompt and response beside the thumb: the entry is kept with it."""
    app.execute(
        "CREATE TABLE thumbs (id TEXT, entry_id TEXT, rating TEXT, prompt TEXT, response TEXT, model_version TEXT)"
    )
    app.execute(
        "INSERT INTO thumbs VALUES (?, ?, ?, ?, ?, ?)",
        [("1", "a", "up", "Greet me.", "Hello.", "v1"), ("2", "b", "down", "Greet me.", "", "v1")],
    )
    source = app.settings(name="chat", table="thumbs", watermark=None)
    found = imported(source)
    assert (found.written, found.quarantined) == (2, {"empty_response": 1, "unknown_entry": 1})
    assert stored("SELECT prompt, response FROM overnight.rated_entries WHERE source = 'chat'") == [
        ("Greet me.", "Hello.")
    ]
    assert stored("SELECT model_version FROM overnight.ratings WHERE source = 'chat'") == [("v1",)]
