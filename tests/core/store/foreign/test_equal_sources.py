"""The same data gives the same rows, rewards and lines, whichever database an app keeps it in."""

from datetime import UTC, datetime

from psycopg import sql

from core.accounting import Accounting
from core.config import load_config
from core.dataset import read_rows, write_snapshot
from core.decision import COLUMNS, AgentType
from core.store.engine import connection
from core.store.foreign.decisions import import_decisions
from core.store.ledger import open_ledger
from core.store.registry import record_run
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.rows import NAME, app_line, collect, scored

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ROWS = 20_000
SET_ASIDE = {"non_finite": 86, "nul_char": 29, "bad_unicode": 29, "bad_json": 28}
REWARDS = """
    SELECT d.external_id, float8send(r.total), float8send(r.normalized), r.status, r.due_at, r.components::text
    FROM overnight.rewards r JOIN overnight.decisions d ON d.number = r.subject WHERE d.source = %s ORDER BY 1
"""


def query(statement, *parameters):
    with connection() as held:
        return held.execute(statement, parameters).fetchall()


def every_column(source):
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in COLUMNS)
    rows = "SELECT {}, revision FROM overnight.decisions WHERE source = %s ORDER BY external_id"
    return query(sql.SQL(rows).format(columns), source)


def set_aside(source):
    return query(
        "SELECT external_id, reason FROM overnight.quarantine WHERE source = %s ORDER BY 1, 2", source
    )


def config_of(source, agent=AgentType.FILER):
    asked = {"source.kind": source, "source.name": source, "slot": agent.lower()}
    asked |= {"export.limit": None, "export.pending": True}
    return load_config(DecisionAgentsConfig, NAME, "default", asked)


def lines_of(source, agent, folder):
    """What `export/jsonl` writes of an agent's decisions; its digest and how many they are."""
    config = config_of(source, agent)
    collected = collect(config, folder / f"{source}-{agent}", lambda _done, _words: None)
    lines = [app_line(scored(row)) for row in read_rows(collected)]
    return write_snapshot(folder / f"lines-{source}-{agent}", "lines", iter(lines)).sha256, len(lines)


def test_both_databases_give_equal_rows_rewards_and_lines(postgres_app, sqlite_app, decision, tmp_path):
    """20,000 rows, whatever way numbers, letters and times are kept in: all columns, the rows set aside, every bit of a
    reward, every byte of the exported lines.
    """
    reports = []
    for app in (postgres_app, sqlite_app):
        for first in range(0, ROWS, 5_000):
            app.put([decision(number) for number in range(first, first + 5_000)])
        reports.append(
            sum(import_decisions(app.source, NAME, config_of("sqlite").rewards, now=NOW), Accounting())
        )
    written = ROWS - sum(SET_ASIDE.values())
    assert reports == [Accounting(read=ROWS, written=written, quarantined=SET_ASIDE)] * 2
    one, other = every_column("postgresql"), every_column("sqlite")
    assert one == other
    assert len(one) == written
    assert set_aside("postgresql") == set_aside("sqlite")

    record_run(
        run_id="a night", use_case=NAME, preset="default", config_digest="", code_revision="", config={}
    )
    with open_ledger(NAME, config_of("sqlite").rewards, NOW, run_id="a night") as ledger:
        assert ledger.compute().accounting.read == 2 * written
    rewards = query(REWARDS, "postgresql")
    assert rewards == query(REWARDS, "sqlite")
    assert len(rewards) > ROWS / 2
    for agent in (AgentType.FILER, AgentType.RETRIEVER):
        found = lines_of("postgresql", agent, tmp_path)
        assert found == lines_of("sqlite", agent, tmp_path)
        assert found[1] > 500
