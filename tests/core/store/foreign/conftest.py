"""An app's own table of decisions, in the two databases that apps keep one in."""

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from core.store.foreign.settings import SourceSettings

START = datetime(2026, 10, 1, 8, tzinfo=UTC)
PRISMA = """
    CREATE TYPE "AgentType" AS ENUM ('FILER', 'LIBRARIAN', 'PRIORITIZER', 'STORER', 'RETRIEVER', 'GUARDRAIL');
    CREATE TYPE "UserFeedback" AS ENUM ('CONFIRMED', 'CORRECTED', 'IGNORED', 'OVERRIDDEN');
    CREATE TABLE "Decision" (
        "id" TEXT NOT NULL, "agentType" "AgentType" NOT NULL, "state" JSONB NOT NULL, "action" JSONB NOT NULL,
        "reward" DOUBLE PRECISION, "nextState" JSONB, "itemId" TEXT, "opusId" TEXT, "userId" TEXT,
        "modelVersion" TEXT NOT NULL, "confidence" DOUBLE PRECISION, "reasoning" TEXT, "alternativeActions" JSONB,
        "userFeedback" "UserFeedback", "userCorrection" JSONB, "feedbackAt" TIMESTAMP(3), "outcomeMetrics" TEXT,
        "outcomeObservedAt" TIMESTAMP(3), "rewardComponents" TEXT, "rewardComputedAt" TIMESTAMP(3),
        "isTrainingData" BOOLEAN NOT NULL DEFAULT true, "isValidationData" BOOLEAN NOT NULL DEFAULT false,
        "trainingEpoch" INTEGER, "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
        "updatedAt" TIMESTAMP(3) NOT NULL, CONSTRAINT "Decision_pkey" PRIMARY KEY ("id"));
"""
SQLITE = """
    CREATE TABLE "Decision" (
        "id" TEXT NOT NULL PRIMARY KEY, "agentType" TEXT NOT NULL, "state" JSONB NOT NULL, "action" JSONB NOT NULL,
        "reward" REAL, "nextState" JSONB, "itemId" TEXT, "opusId" TEXT, "userId" TEXT, "modelVersion" TEXT NOT NULL,
        "confidence" REAL, "reasoning" TEXT, "alternativeActions" JSONB, "userFeedback" TEXT, "userCorrection" JSONB,
        "feedbackAt" DATETIME, "outcomeMetrics" TEXT, "outcomeObservedAt" DATETIME, "rewardComponents" TEXT,
        "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" DATETIME NOT NULL);
"""
COLUMNS = (
    *("id", "agentType", "state", "action", "nextState", "itemId", "opusId", "userId", "modelVersion"),
    *("confidence", "reasoning", "alternativeActions", "userFeedback", "userCorrection", "feedbackAt"),
    *("outcomeMetrics", "outcomeObservedAt", "rewardComponents", "createdAt", "updatedAt"),
)
TIMES = ("feedbackAt", "outcomeObservedAt", "createdAt", "updatedAt")
AGENTS = ("FILER", "LIBRARIAN", "PRIORITIZER", "STORER", "RETRIEVER")
NUMBERS = ("-0.0", "1e2", "100.0", "1E-7", "12345678901234567890.5", "1e23", "0.1", "-3", "1e300", "7.250")
WORDS = ("ärger", "\U0001f600", "\\\\u0000", "tab\\t", "Ünïcödé 漢字", "back\\\\slash", 'quote\\"s', "")
COMPONENTS = ("NaN", "1e400", '"a\\u0000b"', '"\\ud800"', "Infinity", "null", '"half')
"""What a TEXT column may hold between braces and jsonb can't, or nobody can read."""


def a_decision(number, **change):
    """A row as the app holds it: documents are JSON text, times are aware."""
    chance = random.Random(number)
    created = START + timedelta(milliseconds=137 * number)
    known = chance.random() < 0.5
    row = dict.fromkeys(COLUMNS) | {
        "id": f"d{number:06}",
        "agentType": AGENTS[number % 5],
        "state": f'{{"text": "{WORDS[number % 8]}", "x": {NUMBERS[number % 10]}, "b": [{NUMBERS[number % 7]}, true]}}',
        "action": f'{{"folder": "f{number % 9}", "score": {NUMBERS[(number + 3) % 10]}}}',
        "modelVersion": "gpt-4.1-mini",
        "confidence": (None, -0.0, 1.0, chance.random())[number % 4],
        "reasoning": WORDS[number % 8] or None,
        "alternativeActions": '["null", null, 1.0]' if number % 3 else "null",
        "userFeedback": "CONFIRMED" if known else None,
        "userCorrection": ('"bills"', '{"folder": 1.50}', None)[number % 3] if known else None,
        "feedbackAt": created + timedelta(minutes=5) if known else None,
        "outcomeMetrics": '{"days": 2e0}' if known else None,
        "rewardComponents": f'{{"immediate": {{"userFeedback": {NUMBERS[number % 7]}}}}}',
        "createdAt": created,
        "updatedAt": created + timedelta(minutes=5 if known else 0),
    }
    if number % 100 == 57:
        row["rewardComponents"] = '{"immediate": {"x": ' + COMPONENTS[number // 100 % 7] + "}}"
    return row | change


class App:
    """An app's database: rows go in as its own client writes them."""

    def __init__(self, kind, url, monkeypatch):
        self.kind, self.url = kind, url
        self.source = SourceSettings(kind=kind, name=kind, url_variable=f"SOURCE_{kind.upper()}")
        monkeypatch.setenv(self.source.url_variable, url)

    def put(self, rows):
        """Insert rows, or replace those of the same id."""
        values = [tuple(self._stored(name, row[name], row["id"]) for name in COLUMNS) for row in rows]
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        if self.kind == "sqlite":
            marks = ", ".join("?" * len(COLUMNS))
            with closing(self.connect()) as held, held:
                held.executemany(f'INSERT OR REPLACE INTO "Decision" ({names}) VALUES ({marks})', values)
            return
        with self.connect() as held, held.cursor() as cursor:
            cursor.execute('DELETE FROM "Decision" WHERE "id" = ANY (%s)', ([row["id"] for row in rows],))
            with cursor.copy(f'COPY "Decision" ({names}) FROM STDIN') as copy:
                for row in values:
                    copy.write_row(row)

    def connect(self):
        """As the app's own client does."""
        if self.kind == "sqlite":
            return sqlite3.connect(self.url.removeprefix("sqlite:///"))
        return psycopg.connect(self.url)

    def execute(self, statement, *parameters):
        """A statement of the app."""
        with closing(self.connect()) as held:
            held.execute(statement, parameters)
            held.commit()

    def _stored(self, column, value, name):
        """A time without its zone; in SQLite, milliseconds in some rows and words in others, as Prisma's versions do."""
        if column not in TIMES or value is None:
            return value
        if self.kind == "postgresql":
            return value.replace(tzinfo=None)
        in_milliseconds = int(name[1:]) % 2 == 0
        return (
            round(value.timestamp() * 1000) if in_milliseconds else value.isoformat().replace("+00:00", "Z")
        )


@pytest.fixture
def postgres_app(database, monkeypatch):
    """Prisma's own table of seed 002, but for two columns that are TEXT, as other apps have them."""
    app = App("postgresql", database, monkeypatch)
    app.execute(PRISMA)
    return app


@pytest.fixture
def sqlite_app(tmp_path, monkeypatch):
    """The same as Prisma makes it in a SQLite file."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as held:
        held.executescript(SQLITE)
    return App("sqlite", f"sqlite:///{path}", monkeypatch)


@pytest.fixture(params=["postgresql", "sqlite"])
def app(request, database):
    """Either of them, beside our own store."""
    return request.getfixturevalue("postgres_app" if request.param == "postgresql" else "sqlite_app")


@pytest.fixture
def decision():
    """Makes the app's rows by their numbers."""
    return a_decision
