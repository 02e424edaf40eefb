"""An app's own table is read, never written, and what it holds is the same whichever database holds it."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from core.accounting import Accounting
from core.errors import BusyError, ConfigError, SourceError
from core.files import file_digest
from core.recording.recorder import Recorder
from core.reward import RewardSpec
from core.store import pages
from core.store.engine import connection
from core.store.foreign.decisions import import_decisions
from core.store.foreign.settings import SourceSettings
from core.store.lease import lease
from core.value import LARGEST

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SPEC = RewardSpec(version="1", deadline_days={"strategic": 30})
OLD = SPEC.last_deadline + timedelta(days=1)
"""So long ago that nothing more is awaited."""
DAY = timedelta(days=1)


def imported(source, now=NOW):
    total = Accounting()
    for page in import_decisions(source, "decision_agents", SPEC, now=now):
        total += page
    return total.checked("the import")


def query(statement, *parameters):
    with connection() as held:
        return held.execute(statement, parameters).fetchall()


def make_pending(condition, version="1"):
    """Rewards for all decisions, those of a condition pending."""
    spec = SPEC.model_copy(update={"version": version})
    with connection() as held:
        held.execute(
            "INSERT INTO overnight.reward_specs (use_case, version, spec, sha256) VALUES ('decision_agents', %s, '{}', %s)",
            (version, spec.sha256),
        )
        held.execute(f"""
            INSERT INTO overnight.rewards (spec, subject, status, components, total, normalized, revision, code)
            SELECT s.number, d.number, CASE WHEN {condition} THEN 'pending' ELSE 'final' END, '[]', 0, 0.5, 1, ''
            FROM overnight.decisions d, overnight.reward_specs s WHERE s.version = '{version}'
        """)


def test_only_what_changed_is_read_again(app, decision):
    """Behind the watermark by the overlap, where a row may lie that was committed late."""
    app.put([decision(number, updatedAt=NOW - timedelta(days=20 - number)) for number in range(10)])
    assert imported(app.source) == Accounting(read=10, written=10)
    assert imported(app.source) == Accounting(read=1, unchanged=1)
    late = NOW - timedelta(days=11, minutes=9)
    app.put([decision(11, updatedAt=late), decision(12, updatedAt=late - timedelta(minutes=2))])
    assert imported(app.source) == Accounting(read=2, written=1, unchanged=1)
    app.put([decision(3, updatedAt=NOW - timedelta(days=1), userFeedback="OVERRIDDEN")])
    assert imported(app.source) == Accounting(read=1, written=1) + Accounting(read=2, unchanged=2)
    assert query("SELECT revision FROM overnight.decisions WHERE external_id = 'd000003'") == [(2,)]


def test_feedback_comes_without_the_watermark_moving(app, decision):
    """Rows whose reward is pending are read again by their ids, those that are final are not."""
    app.put([decision(number, updatedAt=NOW - timedelta(days=20 - number)) for number in range(10)])
    imported(app.source)
    make_pending("external_id < 'd000004'")
    app.execute("""UPDATE "Decision" SET "userFeedback" = 'IGNORED' WHERE "id" IN ('d000002', 'd000006')""")
    assert imported(app.source) == Accounting(read=5, written=1, unchanged=4)
    feedback = "SELECT feedback, revision FROM overnight.decisions WHERE external_id = 'd000002'"
    assert query(feedback) == [("IGNORED", 2)]


def test_what_has_no_reward_yet_is_read_again_until_its_last_deadline(app, decision):
    """By the version in use: that another one waits for ever is nothing to it."""
    app.put(
        [
            decision(number, createdAt=NOW - age, updatedAt=NOW - age)
            for number, age in enumerate((OLD, OLD, DAY))
        ]
    )
    imported(app.source)
    make_pending("true", version="an older one")
    app.execute("""UPDATE "Decision" SET "userFeedback" = 'IGNORED'""")
    assert imported(app.source) == Accounting(read=1, written=1)
    assert query("SELECT external_id FROM overnight.decisions WHERE feedback = 'IGNORED'") == [("d000002",)]


def test_a_killed_import_goes_on_after_its_last_page(app, decision, monkeypatch):
    """A page and how far it came are one transaction."""
    monkeypatch.setattr(pages, "PAGE", 4)
    app.put([decision(number, updatedAt=NOW - timedelta(days=20 - number)) for number in range(10)])
    reading = import_decisions(app.source, "decision_agents", SPEC, now=NOW)
    assert next(reading) == Accounting(read=4, written=4)
    reading.close()
    assert imported(app.source) == Accounting(read=7, written=6, unchanged=1)


def test_a_clock_that_is_ahead_hides_nothing(app, decision):
    """The watermark stays behind the present, and the row of tomorrow comes tomorrow."""
    ahead = NOW + timedelta(days=1)
    app.put([decision(1, createdAt=ahead, updatedAt=ahead)])
    assert imported(app.source) == Accounting(read=1, quarantined={"clock_skew": 1})
    app.put([decision(2, updatedAt=NOW + timedelta(hours=1))])
    later = imported(app.source, now=NOW + timedelta(hours=2))
    assert later == Accounting(read=2, written=1, quarantined={"clock_skew": 1})
    assert imported(app.source, now=ahead).written == 1


def test_another_table_or_mapping_is_read_from_the_start(app, decision):
    """A watermark belongs to what it was read from."""
    app.put([decision(number, updatedAt=NOW - timedelta(days=20 - number)) for number in range(10)])
    imported(app.source)
    other = app.source.model_copy(update={"columns": {"user_id": "itemId"}})
    assert imported(other).read == 10
    all_of_it = app.source.model_copy(update={"watermark": None})
    assert [imported(all_of_it).read for _ in range(2)] == [10, 10]


def test_what_is_too_large_is_never_fetched(app, decision):
    """A document of 50 MB, or a text: found by its length there, and kept aside by its id; the others are done."""
    large = f'{{"text": "{"y" * (50 * 2**20)}"}}'
    rows = [decision(1, state=large), decision(2), decision(3, reasoning="y" * LARGEST), decision(4)]
    app.put(rows)
    assert imported(app.source) == Accounting(read=4, written=2, quarantined={"oversize": 2})
    kept = query("SELECT external_id, detail, raw FROM overnight.quarantine ORDER BY 1")
    assert [(name, bytes(raw)) for name, _, raw in kept] == [("d000001", b""), ("d000003", b"")]
    assert kept[0][1] == "its columns hold 52.4 MB: at most 8.4 MB of a row are read"


def test_the_app_s_database_is_only_read(app, decision):
    """Byte for byte in a SQLite file; in PostgreSQL a transaction that can't write, so that a wrong view can't either."""
    app.put([decision(1)])
    if app.kind == "sqlite":
        path = Path(app.url.removeprefix("sqlite:///"))
        before = file_digest(path)
        imported(app.source)
        assert file_digest(path) == before
        return
    app.execute("CREATE SEQUENCE counted")
    app.execute('CREATE VIEW "Counting" AS SELECT *, nextval(\'counted\') FROM "Decision"')
    with pytest.raises(ConfigError, match="read-only transaction"):
        imported(app.source.model_copy(update={"table": "Counting"}))


def test_two_imports_at_once_are_one(app, decision):
    """The second is told who has it."""
    app.put([decision(1)])
    with (
        lease(f"collect decisions of {app.source.name}", "the first"),
        pytest.raises(BusyError, match="held by the first"),
    ):
        imported(app.source)


def test_texts_that_only_sqlite_holds(database, sqlite_app, decision):
    """Half a surrogate pair, bytes that are no UTF-8, and U+0000: each aside under its name, the others done."""
    sqlite_app.put([decision(number) for number in range(5)])
    for number, letters in enumerate(("eda080", "ff", "610062")):
        sqlite_app.execute(
            'UPDATE "Decision" SET "reasoning" = CAST(? AS TEXT) WHERE "id" = ?',
            bytes.fromhex(letters),
            f"d{number:06}",
        )
    total = imported(sqlite_app.source)
    assert total == Accounting(read=5, written=2, quarantined={"bad_unicode": 2, "nul_char": 1})


def test_missing_columns_are_one_clear_error(app):
    """It names the table, what is missing and what is there; a missing optional column is NULL."""
    app.execute('ALTER TABLE "Decision" RENAME COLUMN "state" TO "input"')
    app.execute('ALTER TABLE "Decision" DROP COLUMN "reasoning"')
    with pytest.raises(ConfigError, match=r"the table Decision lacks 'state'; it has id, agentType, input"):
        imported(app.source)
    named = app.source.model_copy(update={"columns": {"state": "input"}})
    assert imported(named) == Accounting()
    for change, words in (
        ({"watermark": "changed"}, "the table Decision lacks 'state', 'changed'"),
        ({"columns": {"state": "inputs"}}, "lacks 'inputs'"),
        ({"columns": {"stat": "input"}}, "source.columns names 'stat': choose among external_id, agent_type"),
        ({"table": "Decisions"}, "has no table Decisions: did you mean Decision"),
    ):
        with pytest.raises(ConfigError, match=words):
            imported(app.source.model_copy(update=change))
    app.execute('ALTER TABLE "Decision" ADD COLUMN "item_id" TEXT')
    with pytest.raises(ConfigError, match="has 'itemId', 'item_id', and each could be item_id: say which"):
        imported(named)


def test_a_database_that_is_not_there(database, tmp_path, monkeypatch, postgres_app):
    """What may pass is a SourceError, what won't a ConfigError; no password is repeated."""
    source = postgres_app.source

    def told(url, kind=source.kind):
        monkeypatch.setenv(source.url_variable, url)
        with pytest.raises((ConfigError, SourceError)) as caught:
            imported(source.model_copy(update={"kind": kind}))
        assert "secret" not in str(caught.value)
        return caught.type, str(caught.value)

    assert told("") == (ConfigError, told("")[1])
    assert "SOURCE_POSTGRESQL is not set" in told("")[1]
    assert told("postgresql://me:secret@127.0.0.1:1/app")[0] is SourceError
    assert told("postgresql://me:a/secret@127.0.0.1:1/app")[0] is SourceError
    assert "percent-encoded" in told("postgresql://me:%secret@127.0.0.1:1/app")[1]
    assert told("mysql://me:secret@127.0.0.1/app")[0] is ConfigError
    assert "is no file" in told(f"sqlite:///{tmp_path}/none.db", "sqlite")[1]
    (tmp_path / "text.db").write_text("this is no database, and long enough to be read as one" * 20)
    kind, words = told(f"file:{tmp_path}/text.db", "sqlite")
    assert kind is ConfigError
    assert "can't be read as a SQLite database" in words


def test_a_url_as_prisma_writes_it(postgres_app, decision, monkeypatch, database):
    """With parameters that only Prisma knows, and the schema among them."""
    postgres_app.put([decision(1)])
    postgres_app.execute("CREATE SCHEMA app")
    postgres_app.execute('ALTER TABLE "Decision" SET SCHEMA app')
    joint = "&" if "?" in database else "?"
    monkeypatch.setenv(
        postgres_app.source.url_variable, f"{database}{joint}schema=app&connection_limit=5&pgbouncer=true"
    )
    assert imported(postgres_app.source) == Accounting(read=1, written=1)
    monkeypatch.setenv(postgres_app.source.url_variable, database)
    named = postgres_app.source.model_copy(update={"table": "app.Decision"})
    assert imported(named).read == 1


def test_a_user_who_may_not_read(postgres_app, decision, monkeypatch, database):
    """A ConfigError: to try again would not help."""
    postgres_app.put([decision(1)])
    address = conninfo_to_dict(database)
    name = f"reader_of_{address['dbname']}"
    address |= {"user": name, "password": "secret"}
    postgres_app.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
    try:
        url = f"postgresql:///{address.pop('dbname')}?{urlencode(address)}"
        monkeypatch.setenv(postgres_app.source.url_variable, url)
        with pytest.raises(ConfigError, match="does not let this user read: permission denied"):
            imported(postgres_app.source)
    finally:
        postgres_app.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_an_app_that_only_records_needs_no_table(home, database, monkeypatch):
    """Its source is what its processes left on this machine when they could not reach the store."""
    source = SourceSettings(kind="recorded", name="app")
    assert imported(source) == Accounting()
    recorder = Recorder("app", seconds=None)
    recorder.record_decision({"agentType": "FILER", "state": {}, "action": {}, "modelVersion": "m"})
    assert imported(source) == Accounting()  # a living process brings in its own
    with monkeypatch.context() as patch:
        patch.setenv("OVERNIGHT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        recorder.close()
    assert imported(source) == Accounting(read=1, written=1)
    assert query("SELECT source FROM overnight.decisions") == [("app",)]


def test_an_app_writes_to_its_sqlite_file_while_it_is_read(database, sqlite_app, decision, monkeypatch):
    """Between two pages nothing is locked; what it writes then comes with the next import."""
    monkeypatch.setattr("core.store.foreign.sqlite.PAGE_ROWS", 2)
    monkeypatch.setattr(pages, "PAGE", 2)
    sqlite_app.put([decision(number, updatedAt=NOW - timedelta(days=20 - number)) for number in range(6)])
    reading = import_decisions(sqlite_app.source, "decision_agents", SPEC, now=NOW)
    assert next(reading).written == 2
    with closing(sqlite3.connect(sqlite_app.url.removeprefix("sqlite:///"), timeout=0)) as held, held:
        held.execute(
            """UPDATE "Decision" SET "userFeedback" = 'IGNORED', "updatedAt" = ? WHERE "id" = 'd000001'""",
            (NOW.isoformat(),),
        )
        held.execute("""DELETE FROM "Decision" WHERE "id" = 'd000003'""")
    assert sum(page.written for page in reading) == 3
    assert imported(sqlite_app.source).written == 1


def test_two_tables_under_one_name_are_told_apart(postgres_app, decision):
    """Ids of the first that the second can't hold would else stop every import for ever."""
    postgres_app.put([decision(1, updatedAt=NOW - timedelta(days=3))])
    imported(postgres_app.source)
    make_pending("true")
    postgres_app.execute('CREATE TABLE "Other" AS SELECT 7 AS number, * FROM "Decision"')
    other = postgres_app.source.model_copy(update={"table": "Other", "columns": {"external_id": "number"}})
    assert imported(other) == Accounting(read=1, written=1)
    with pytest.raises(ConfigError, match=r"give this one a source\.name of its own"):
        imported(other)
    named = other.model_copy(update={"name": "another"})
    assert [imported(named).read for _ in range(2)] == [1, 1]
