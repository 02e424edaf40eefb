"""Trajectories, model calls and market outcomes out of an app's own tables, in a SQLite file and in PostgreSQL."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import sql

from core.accounting import Accounting
from core.config import load_config
from core.errors import BusyError, ConfigError
from core.files import file_digest
from core.store import pages
from core.store.engine import connection
from core.store.foreign.settings import TrajectorySettings
from core.store.foreign.trajectories import import_table
from core.store.lease import lease
from core.store.trajectory_statistics import trajectory_statistics
from core.value import LARGEST

NOW = datetime(2026, 10, 4, tzinfo=UTC)
START = datetime(2026, 10, 1, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TYPES = {
    "postgresql": {"time": "TIMESTAMP(3)", "real": "DOUBLE PRECISION", "json": "JSON"},
    "sqlite": {"time": "DATETIME", "real": "REAL", "json": "JSONB"},
}
SCHEMA = {
    "trajectories": """
        "id" TEXT NOT NULL PRIMARY KEY, "trajectoryId" TEXT NOT NULL UNIQUE, "agentId" TEXT NOT NULL,
        "startTime" {time} NOT NULL, "endTime" {time} NOT NULL, "durationMs" INTEGER NOT NULL, "windowId" VARCHAR(50),
        "windowHours" INTEGER NOT NULL DEFAULT 1, "episodeId" TEXT, "scenarioId" TEXT, "batchId" TEXT,
        "stepsJson" TEXT NOT NULL, "rewardComponentsJson" TEXT NOT NULL, "metricsJson" TEXT NOT NULL,
        "metadataJson" TEXT NOT NULL, "totalReward" {real} NOT NULL, "episodeLength" INTEGER NOT NULL,
        "finalStatus" TEXT NOT NULL, "finalBalance" {real}, "finalPnL" {real}, "tradesExecuted" INTEGER,
        "postsCreated" INTEGER, "aiJudgeReward" {real}, "aiJudgeReasoning" TEXT, "judgedAt" {time},
        "isTrainingData" BOOLEAN NOT NULL DEFAULT true, "isEvaluation" BOOLEAN NOT NULL DEFAULT false,
        "usedInTraining" BOOLEAN NOT NULL DEFAULT false, "trainedInBatch" TEXT,
        "createdAt" {time} NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" {time} NOT NULL
    """,
    "llm_call_logs": """
        "id" TEXT NOT NULL PRIMARY KEY, "trajectoryId" TEXT NOT NULL, "stepId" TEXT NOT NULL, "callId" TEXT NOT NULL UNIQUE,
        "timestamp" {time} NOT NULL, "latencyMs" INTEGER, "model" TEXT NOT NULL, "purpose" TEXT NOT NULL, "actionType" TEXT,
        "systemPrompt" TEXT NOT NULL, "userPrompt" TEXT NOT NULL, "messagesJson" TEXT, "response" TEXT NOT NULL,
        "reasoning" TEXT, "temperature" {real} NOT NULL, "maxTokens" INTEGER NOT NULL, "topP" {real},
        "promptTokens" INTEGER, "completionTokens" INTEGER, "totalTokens" INTEGER, "metadata" TEXT,
        "createdAt" {time} NOT NULL DEFAULT CURRENT_TIMESTAMP
    """,
    "market_outcomes": """
        "id" TEXT NOT NULL PRIMARY KEY, "windowId" VARCHAR(50) NOT NULL, "stockTicker" TEXT, "startPrice" DECIMAL(10,2),
        "endPrice" DECIMAL(10,2), "changePercent" DECIMAL(5,2), "sentiment" TEXT, "newsEvents" {json},
        "predictionMarketId" TEXT, "question" TEXT, "outcome" TEXT, "finalProbability" DECIMAL(5,4), "volume" DECIMAL(15,2),
        "createdAt" {time} NOT NULL DEFAULT CURRENT_TIMESTAMP
    """,
}
STORED = {
    "trajectories": "external_id, agent_id, window_start, window_hours, scenario_id, episode_id, started_at, ended_at, "
    "steps, metrics, components, truth, status, balance, profit, total_reward, judge_reward, judge_reasoning, judged_at, "
    "created_at, updated_at",
    "llm_call_logs": "external_id, trajectory_id, step, called_at, latency_ms, model, purpose, action_type, messages, response, "
    "reasoning, temperature, top_p, max_tokens, prompt_tokens, completion_tokens",
    "market_outcomes": "external_id, window_start, ticker, start_price, end_price, sentiment, question_id, question, answer, "
    "final_probability, volume, news, observed_at",
}


def a_step(number, **change):
    state = {"agentBalance": 1e2 * number, "agentPnL": -0.0, "openPositions": number % 3}
    call = {
        "model": "m",
        "systemPrompt": "Trade.",
        "userPrompt": "?",
        "response": "buy \U0001f600",
        "purpose": "action",
    }
    action = {"actionType": "buy", "parameters": {"amount": 1.50}, "success": True}
    whole = {"stepNumber": number, "environmentState": state, "llmCalls": [call], "providerAccesses": []}
    return whole | {"action": action, "reward": number / 3} | change


def a_trajectory(number, **change):
    """Every fifth ends in another window than it began; every third was judged, the first of them with 0."""
    began = START + number * 7 * MINUTE
    ended = began + (70 if number % 5 == 0 else 2) * MINUTE
    judged = number % 3 == 0
    return {
        "id": f"row{number}",
        "trajectoryId": f"t{number:04}",
        "agentId": f"agent{number % 8}",
        "startTime": began,
        "endTime": ended,
        "durationMs": 1000,
        "windowId": f"{ended:%Y-%m-%dT%H:00}",
        "windowHours": 1 + number % 2,
        "scenarioId": f"{began:%Y-%m-%dT%H:00}",
        "stepsJson": json.dumps([a_step(step) for step in range(number % 4)]),
        "rewardComponentsJson": '{"environmentReward": 1.0}',
        "metricsJson": '{"trades": 1e2, "win": 0.50}',
        "metadataJson": '{"gameKnowledge": {"trueProbabilities": {"q": 1.0}}}',
        "totalReward": number / 7,
        "episodeLength": number % 4,
        "finalStatus": "completed",
        "finalBalance": 0.0 if number % 2 else None,
        "finalPnL": -0.0,
        "aiJudgeReward": number / 300 if judged else None,
        "aiJudgeReasoning": "ärger" if judged else None,
        "judgedAt": ended + MINUTE if judged else None,
        "createdAt": ended,
        "updatedAt": ended + (MINUTE if judged else 0 * MINUTE),
    } | change


def a_call(number, **change):
    """Of a trajectory's step; every second one has no messages of its own."""
    owner = f"t{number // 2:04}"
    at = START + number // 2 * 7 * MINUTE
    messages = [{"role": "user", "content": f"Number {number}?"}]
    return {
        "id": f"call{number}",
        "trajectoryId": owner,
        "stepId": f"{owner}-step-{number % 2}",
        "callId": f"{owner}-call-{number % 2}-0",
        "timestamp": at,
        "latencyMs": number,
        "model": "qwen",
        "purpose": "action",
        "actionType": "buy",
        "systemPrompt": "Trade.",
        "userPrompt": "What now?",
        "messagesJson": json.dumps(messages) if number % 2 else None,
        "response": "Nothing.",
        "temperature": 0.0,
        "maxTokens": 100,
        "topP": 0.9,
        "promptTokens": 0,
        "createdAt": at,
    } | change


def an_outcome(number, **change):
    """Stocks and prediction markets by turns."""
    window = START + number // 2 * timedelta(hours=1)
    row = {
        "id": f"o{number:03}",
        "windowId": f"{window:%Y-%m-%dT%H:00}",
        "createdAt": window + timedelta(hours=1),
    }
    if number % 2:
        known = {"predictionMarketId": "q1", "question": "Up?", "outcome": "YES", "finalProbability": 0.25}
    else:
        known = {
            "stockTicker": "BBLN",
            "startPrice": 101.5,
            "endPrice": 0,
            "sentiment": "bearish",
            "newsEvents": '[{"n": 1.0}]',
        }
    return row | known | change


class Trading:
    """A trading game's database: rows go in as its own client writes them."""

    def __init__(self, app):
        self.app, self.tables = app, dict.fromkeys(SCHEMA, ())
        for table, columns in SCHEMA.items():
            app.execute(f"CREATE TABLE {table} ({columns.format(**TYPES[app.kind])})")

    def put(self, table, *rows):
        """Insert rows."""
        mark = "?" if self.app.kind == "sqlite" else "%s"
        with closing(self.app.connect()) as held:
            for row in rows:
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join([mark] * len(row))
                values = [self._stored(value) for value in row.values()]
                held.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
            held.commit()

    def settings(self, **change):
        """Those of the default preset, for this database."""
        source = {
            "source.kind": self.app.kind,
            "source.name": self.app.kind,
            "source.url_variable": self.app.source.url_variable,
        }
        asked = source | {name.replace("__", "."): value for name, value in change.items()}
        return load_config(TrajectorySettings, "trajectories", "default", asked)

    def imported(self, section, now=NOW, **change):
        """What became of a table's rows."""
        return sum(import_table(self.settings(**change), section, now=now), Accounting())

    def loosen(self):
        """Copies of the tables that refuse nothing, as an app without constraints has; the changes that name them."""
        for table in SCHEMA:
            self.app.execute(f"CREATE TABLE loose_{table} AS SELECT * FROM {table}")
        return {
            "trajectories__table": "loose_trajectories",
            "calls__table": "loose_llm_call_logs",
            "outcomes__table": "loose_market_outcomes",
        }

    def _stored(self, value):
        """A time without its zone; in SQLite, milliseconds in even minutes and words in others, as Prisma's versions do."""
        if not isinstance(value, datetime):
            return value
        if self.app.kind == "postgresql":
            return value.replace(tzinfo=None)
        in_milliseconds = value.minute % 2 == 0
        return (
            round(value.timestamp() * 1000) if in_milliseconds else value.replace(tzinfo=None).isoformat(" ")
        )


@pytest.fixture
def game(app):
    return Trading(app)


def query(statement, *parameters):
    with connection() as held:
        return held.execute(statement, parameters).fetchall()


def every_column(table, source):
    columns = sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(name)) for name in STORED[table].split(", ")
    )
    rows = sql.SQL("SELECT {}, revision FROM {} WHERE source = %s ORDER BY external_id")
    return query(rows.format(columns, sql.Identifier("overnight", table)), source)


def quarantined(source):
    return dict(query("SELECT external_id, reason FROM overnight.quarantine WHERE source = %s", source))


def test_both_databases_give_equal_rows_and_a_second_import_changes_none(postgres_app, sqlite_app):
    """All columns of all three tables, however times and numbers are kept; the same again writes nothing."""
    found = []
    for app in (postgres_app, sqlite_app):
        game = Trading(app)
        game.put("trajectories", *map(a_trajectory, range(200)))
        game.put("llm_call_logs", *map(a_call, range(400)))
        game.put("market_outcomes", *map(an_outcome, range(60)))
        everything = {"trajectories__watermark": None, "calls__watermark": None, "outcomes__watermark": None}
        for section, rows in (("trajectories", 200), ("calls", 400), ("outcomes", 60)):
            assert game.imported(section, **everything) == Accounting(read=rows, written=rows)
            assert game.imported(section, **everything) == Accounting(read=rows, unchanged=rows)
        found.append([every_column(table, app.kind) for table in SCHEMA])
    assert found[0] == found[1]
    assert {row[-1] for rows in found[0] for row in rows} == {1}


def test_what_is_stored_says_what_the_app_said(game):
    """Zero is zero and not nothing, a time without a zone is UTC, and a window is that of the start."""
    began = datetime(2026, 10, 1, 10, 59, tzinfo=UTC)
    game.put("trajectories", a_trajectory(0, startTime=began, endTime=began + 2 * MINUTE))
    game.put("llm_call_logs", a_call(0), a_call(1), a_call(2))
    game.imported("trajectories")
    game.imported("calls")
    assert query(
        "SELECT judge_reward, total_reward, profit, balance, window_start, started_at, steps, truth "
        "FROM overnight.trajectories"
    ) == [
        (
            0.0,
            0.0,
            0.0,
            None,
            datetime(2026, 10, 1, 10, tzinfo=UTC),
            began,
            [],
            {"gameKnowledge": {"trueProbabilities": {"q": 1}}},
        )
    ]
    prompts = [{"content": "Trade.", "role": "system"}, {"content": "What now?", "role": "user"}]
    assert query(
        "SELECT step, prompt_tokens, temperature, messages FROM overnight.llm_call_logs ORDER BY number"
    ) == [
        (0, 0, 0.0, prompts),
        (1, 0, 0.0, [{"content": "Number 1?", "role": "user"}]),
        (0, 0, 0.0, prompts),
    ]
    counts = trajectory_statistics(game.app.kind)
    assert (counts.trajectories, counts.unjudged) == (1, 0)
    assert (counts.model_calls, counts.calls_without_trajectory) == (3, 1)


def test_only_what_changed_is_read_again(game):
    """By each table's own watermark, and behind it by the overlap; a trajectory that changed is another revision."""
    game.put(
        "trajectories",
        *(a_trajectory(3 * number, updatedAt=START + number * 60 * MINUTE) for number in range(5)),
    )
    assert game.imported("trajectories") == Accounting(read=5, written=5)
    assert game.imported("trajectories") == Accounting(read=1, unchanged=1)
    game.app.execute("""UPDATE trajectories SET "finalStatus" = 'error', "updatedAt" = '2026-10-02 12:00:00'
        WHERE "trajectoryId" = 't0003'""")
    assert game.imported("trajectories") == Accounting(read=2, written=1, unchanged=1)
    assert query("SELECT status, revision FROM overnight.trajectories WHERE external_id = 't0003'") == [
        ("error", 2)
    ]


def test_a_late_judgement_arrives_without_the_watermark(game):
    """Who has none is read again by the id until some days after the end; a judgement of 0 is one."""
    long_ago = a_trajectory(1, startTime=NOW - timedelta(days=9), endTime=NOW - timedelta(days=8))
    game.put("trajectories", *map(a_trajectory, (2, 3, 4, 5, 60)), long_ago)
    assert game.imported("trajectories") == Accounting(read=6, written=6)
    game.app.execute(
        """UPDATE trajectories SET "aiJudgeReward" = 0 WHERE "trajectoryId" IN ('t0001', 't0002', 't0003')"""
    )
    assert game.imported("trajectories") == Accounting(
        read=4, written=1, unchanged=3
    )  # 2, 4, 5, and the last
    assert query("""
        SELECT external_id, judge_reward, revision FROM overnight.trajectories WHERE external_id < 't0004' ORDER BY 1
    """) == [("t0001", None, 1), ("t0002", 0.0, 2), ("t0003", 0.01, 1)]
    assert game.imported("trajectories") == Accounting(read=3, unchanged=3)
    assert game.imported("trajectories", awaited_days=0) == Accounting(read=1, unchanged=1)


def test_a_run_that_was_killed_goes_on_after_its_last_page(game, monkeypatch):
    """Pages are kept one by one, and so is how far they came; those that are awaited come in pages as well."""
    monkeypatch.setattr(pages, "PAGE", 3)
    monkeypatch.setattr("core.store.foreign.reading.PAGE", 2)
    game.put("trajectories", *(a_trajectory(3 * number + 1) for number in range(8)))
    reading = import_table(game.settings(), "trajectories", now=NOW)
    assert next(reading) == Accounting(read=3, written=3)
    reading.close()
    assert game.imported("trajectories") == Accounting(read=8, written=5, unchanged=3)
    game.app.execute('UPDATE trajectories SET "aiJudgeReward" = 1')
    found = list(import_table(game.settings(), "trajectories", now=NOW))
    assert max(page.read for page in found) == 2
    assert sum(page.written for page in found) == 8


def test_pages_end_where_their_texts_are_large(game, monkeypatch):
    """Not the number of rows alone decides what is held in memory."""
    monkeypatch.setattr(pages, "PAGE_BYTES", 2**20)
    large = json.dumps([{"x": "y" * 600_000}])
    game.put("trajectories", *(a_trajectory(number, stepsJson=large) for number in range(5)))
    found = list(import_table(game.settings(), "trajectories", now=NOW))
    assert [page.written for page in found] == [2, 2, 1]


def test_a_trajectory_that_had_not_ended_arrives_when_it_has(game):
    """Aside until then, and out of quarantine after."""
    loose = game.loosen()
    now = datetime.now(UTC)
    game.put(
        "loose_trajectories",
        a_trajectory(1, endTime=None),
        a_trajectory(60, updatedAt=now - timedelta(days=1)),
    )
    first = game.imported("trajectories", now=now, **loose)
    assert first == Accounting(read=2, written=1, quarantined={"unfinished": 1})
    again = game.imported("trajectories", now=now, **loose)
    assert again == Accounting(read=2, unchanged=1, quarantined={"unfinished": 1})
    game.app.execute(
        """UPDATE loose_trajectories SET "endTime" = '2026-10-01 09:00:00' WHERE "trajectoryId" = 't0001'"""
    )
    assert game.imported("trajectories", now=now, **loose) == Accounting(read=2, written=1, unchanged=1)
    assert query("SELECT released_at IS NOT NULL FROM overnight.quarantine") == [(True,)]


BAD_TRAJECTORIES = [
    ({"stepsJson": "[{"}, "bad_json"),
    ({"stepsJson": "{}"}, "bad_json"),
    ({"metricsJson": "[]"}, "bad_json"),
    ({"stepsJson": "[1]"}, "bad_steps"),
    ({"stepsJson": '[{"action": "buy"}]'}, "bad_steps"),
    ({"stepsJson": '[{"reward": true}]'}, "bad_steps"),
    ({"stepsJson": None}, "missing_value"),
    ({"stepsJson": "null"}, "missing_value"),
    ({"agentId": None}, "missing_value"),
    ({"metricsJson": '{"x": NaN}'}, "non_finite"),
    ({"stepsJson": '[{"reward": 1e400}]'}, "non_finite"),
    ({"finalPnL": float("inf")}, "non_finite"),
    ({"metadataJson": r'{"x": "\u0000"}'}, "nul_char"),
    ({"stepsJson": r'[{"x": "\ud800"}]'}, "bad_unicode"),
    ({"metricsJson": '{"x": ' * 200 + "1" + "}" * 200}, "too_deep"),
    ({"stepsJson": f'["{"y" * LARGEST}"]'}, "oversize"),
    ({"endTime": START - MINUTE, "startTime": START}, "end_before_start"),
    ({"endTime": None}, "unfinished"),
    ({"endTime": NOW + timedelta(days=1)}, "clock_skew"),
    ({"windowHours": 0}, "out_of_range"),
    ({"windowHours": 10**6}, "out_of_range"),
    ({"windowHours": -1}, "bad_number"),
    ({"agentId": "a" * 3000}, "bad_id"),
]
BAD_CALLS = [
    ({"response": None}, "missing_value"),
    ({"systemPrompt": None, "userPrompt": None}, "missing_value"),
    ({"messagesJson": "{}"}, "bad_json"),
    ({"trajectoryId": "t" * 3000}, "bad_id"),
    ({"topP": 1.5}, "out_of_range"),
    ({"temperature": -1.0}, "out_of_range"),
    ({"temperature": float("inf")}, "non_finite"),
    ({"promptTokens": -5}, "bad_number"),
    ({"timestamp": NOW + timedelta(days=1)}, "clock_skew"),
]
BAD_OUTCOMES = [
    ({"predictionMarketId": "q"}, "not_one_market"),
    ({"stockTicker": None}, "not_one_market"),
    ({"stockTicker": "T" * 3000}, "bad_id"),
    ({"startPrice": -1}, "out_of_range"),
    ({"finalProbability": 1.5}, "out_of_range"),
    ({"windowId": "yesterday"}, "bad_time"),
    ({"windowId": None}, "missing_value"),
    ({"windowId": "2027-01-01T00:00"}, "clock_skew"),
    ({"newsEvents": r'["\u0000"]'}, "nul_char"),
]


@pytest.mark.parametrize(
    ("section", "table", "made", "bad"),
    [
        ("trajectories", "loose_trajectories", a_trajectory, BAD_TRAJECTORIES),
        ("calls", "loose_llm_call_logs", a_call, BAD_CALLS),
        ("outcomes", "loose_market_outcomes", an_outcome, BAD_OUTCOMES),
    ],
)
def test_what_can_not_be_used_is_kept_aside_by_its_reason(game, section, table, made, bad):
    """Every row by itself: the two good ones among them are written, and all are accounted for."""
    loose = game.loosen()
    its_id = {"trajectories": "trajectoryId", "calls": "callId"}.get(section, "id")
    rows = [made(100 + 2 * number, **change) for number, (change, _) in enumerate(bad)]
    game.put(table, made(0), *rows, made(2))
    expected = {row[its_id]: reason for row, (_, reason) in zip(rows, bad, strict=True)}
    reasons = list(expected.values())
    counts = {reason: reasons.count(reason) for reason in reasons}
    done = game.imported(section, now=NOW, **loose)
    assert done == Accounting(read=len(bad) + 2, written=2, quarantined=counts)
    assert quarantined(game.app.kind) == expected


def test_texts_that_only_sqlite_holds(database, sqlite_app):
    """Bytes that are no UTF-8, and U+0000: each aside under its name, the other done."""
    game = Trading(sqlite_app)
    game.put("trajectories", *map(a_trajectory, range(3)))
    for number, letters in enumerate(("ff", "610062")):
        words = bytes.fromhex(letters)
        sqlite_app.execute(
            f'UPDATE trajectories SET "finalStatus" = CAST(? AS TEXT) WHERE "id" = \'row{number}\'', words
        )
    aside = {"bad_unicode": 1, "nul_char": 1}
    assert game.imported("trajectories") == Accounting(read=3, written=1, quarantined=aside)


def test_ids_that_are_there_twice(game):
    """The newer stands and the older is kept aside; the same twice counts once, whichever database gives them first."""
    loose = game.loosen()
    changed = a_trajectory(1, finalStatus="changed", updatedAt=START + 90 * MINUTE)
    game.put("loose_trajectories", changed, a_trajectory(1), a_trajectory(2), a_trajectory(2))
    game.put("loose_llm_call_logs", a_call(1), a_call(1, response="Other."), a_call(2), a_call(2))
    twice = {"quarantined": {"older_copy": 1}, "skipped": {"given twice": 1}}
    assert game.imported("trajectories", **loose) == Accounting(read=4, written=2, **twice)
    assert game.imported("calls", **loose) == Accounting(read=4, written=2, **twice)
    statuses = "SELECT status FROM overnight.trajectories ORDER BY external_id"
    assert query(statuses) == [("changed",), ("completed",)]
    again = game.imported("calls", calls__watermark=None, **loose)
    assert again == Accounting(read=4, unchanged=2, **twice)


def test_what_an_app_keeps_from_training_is_left_out(game):
    """Rows that it doesn't give for training, and those that tested a model."""
    game.put(
        "trajectories",
        a_trajectory(1),
        a_trajectory(2, isTrainingData=False),
        a_trajectory(3, isEvaluation=True),
    )
    skipped = {"not for training, says the app": 1, "an evaluation, says the app": 1}
    assert game.imported("trajectories") == Accounting(read=3, written=1, skipped=skipped)


@pytest.mark.parametrize("page", [1, 5_000])
def test_a_second_sync_of_markets_is_counted_and_changes_nothing(game, monkeypatch, page):
    """A market has one outcome in a window: the last that was written down stands, in one page or in many."""
    monkeypatch.setattr(pages, "PAGE", page)
    whole = {"outcomes__watermark": None}
    later = START + 120 * MINUTE
    game.put(
        "market_outcomes",
        an_outcome(0, createdAt=START),
        an_outcome(1, createdAt=START),
        an_outcome(0, id="again", createdAt=later),
        an_outcome(1, id="other", outcome="NO", createdAt=later),
        an_outcome(1, id="p", outcome="MAYBE", createdAt=later),
    )
    first = game.imported("outcomes", **whole)
    kept = query("SELECT coalesce(ticker, question_id), answer FROM overnight.market_outcomes ORDER BY 1")
    assert kept == [("BBLN", None), ("q1", "MAYBE")]
    assert first.read == 5
    again = game.imported("outcomes", **whole)
    assert again.written == 0
    assert again.skipped["an older look at the same market"] == 2
    if page > 1:
        assert first == Accounting(
            read=5, written=2, skipped={"given twice": 1, "an older look at the same market": 2}
        )


def test_an_outcome_that_is_filled_in_late_arrives(game):
    """A question without an answer and a stock without a last price, by their ids until some days after their window began."""
    game.put(
        "market_outcomes",
        *(an_outcome(1, outcome=None), an_outcome(2, endPrice=None), an_outcome(3), an_outcome(60)),
    )
    assert game.imported("outcomes").written == 4
    game.app.execute("UPDATE market_outcomes SET outcome = 'NO' WHERE id = 'o001'")
    game.app.execute("""UPDATE market_outcomes SET "endPrice" = 0 WHERE id = 'o002'""")
    assert game.imported("outcomes") == Accounting(read=3, written=2, unchanged=1)
    ends = "SELECT answer, end_price, revision FROM overnight.market_outcomes WHERE external_id < 'o003' ORDER BY external_id"
    assert query(ends) == [("NO", None, 2), (None, 0.0, 2)]


def test_an_app_with_other_names(game):
    """Tables and columns as it calls them; what it does not keep is null; what is missing is one clear line."""
    game.put("trajectories", a_trajectory(1))
    game.app.execute("ALTER TABLE trajectories RENAME TO runs")
    game.app.execute('ALTER TABLE runs RENAME COLUMN "agentId" TO bot')
    with pytest.raises(ConfigError, match=r"lacks 'agent_id'; .* called there in trajectories\.columns"):
        game.imported("trajectories", trajectories__table="runs")
    with pytest.raises(ConfigError, match=r"no table trajectories: .* Correct trajectories\.table"):
        game.imported("trajectories")
    names = {"trajectories__table": "runs", "trajectories__columns": {"agent_id": "bot"}}
    assert game.imported("trajectories", **names) == Accounting(read=1, written=1)
    assert game.settings(calls=None).tables == ("trajectories", "outcomes")


def test_the_app_is_only_read_and_by_one_run_at_a_time(game):
    """A SQLite file keeps its bytes; a second run is told who has the table."""
    game.put("trajectories", a_trajectory(1))
    with (
        lease(f"collect trajectories of {game.app.kind}", "the first"),
        pytest.raises(BusyError, match="held by the first"),
    ):
        game.imported("trajectories")
    path = Path(game.app.url.removeprefix("sqlite:///"))
    before = path.is_file() and file_digest(path)
    assert game.imported("trajectories").written == 1
    assert before == (path.is_file() and file_digest(path))
