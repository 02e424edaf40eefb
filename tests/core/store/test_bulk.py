"""Rows in and out by COPY are the rows that were given."""

from datetime import UTC, datetime

import psutil
import pytest

from core.errors import RecordError, StoreError
from core.store.bulk import copy_in, staging, stream
from core.store.engine import connection

AT = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
COLUMNS = ("source", "external_id", "agent_type", "state", "action", "model_version", "confidence", "step", "created_at", "updated_at")  # fmt: skip
TYPES = ("text", "text", "text", "json", "json", "text", "float8", "int4", "timestamptz", "timestamptz")


def row(name, state='{"x": 1}', confidence=0.1):
    return ("app", name, "FILER", state, '"a"', "base", confidence, None, AT, AT)


def test_what_went_in_comes_out(database):
    """Tabs, line ends, backslashes, quotes and a NULL's letters in texts and in documents; a float keeps its bits, NULL is NULL."""
    words = 'tab\t line\n back\\slash "quoted" \\N \\. ünï 日本語 \U0001f600'
    document = (
        '{"text": "tab\\t line\\n back\\\\slash \\"quoted\\" \\\\N 日本語", "n": [0.1, 1e-300, null, true]}'
    )
    rows = [row(words, document), row("two", confidence=1 / 3), row("three", confidence=None)]
    with connection() as held:
        assert copy_in(held, "decisions", COLUMNS, TYPES, rows) == 3
        query = (
            "SELECT external_id, state, confidence, step, created_at FROM overnight.decisions ORDER BY number"
        )
        found = list(stream(held, query, ("text", "json", "float8", "int4", "timestamptz")))
    assert [one[0] for one in found] == [words, "two", "three"]
    assert found[0][1] == {
        "text": 'tab\t line\n back\\slash "quoted" \\N 日本語',
        "n": [0.1, 1e-300, None, True],
    }
    assert [one[2] for one in found] == [0.1, 1 / 3, None]
    assert {one[3] for one in found} == {None}
    assert found[0][4] == AT


def test_a_stream_takes_parameters(database):
    """As a query does."""
    with connection() as held:
        copy_in(held, "decisions", COLUMNS, TYPES, [row(f"d{number}") for number in range(9)])
        query = "SELECT external_id FROM overnight.decisions WHERE external_id > %(after)s ORDER BY 1"
        assert [name for (name,) in stream(held, query, ("text",), {"after": "d6"})] == ["d7", "d8"]


def test_a_row_that_is_refused_refuses_all(database, ask):
    """A document that is none, in the third row: nothing is kept, and the connection is as good as before."""
    rows = [row("one"), row("two"), row("three", state='{"cut": ')]
    with pytest.raises(RecordError, match="invalid input syntax for type json"), connection() as held:
        copy_in(held, "decisions", COLUMNS, TYPES, rows)
    assert ask("SELECT count(*) FROM overnight.decisions") == [(0,)]


def test_a_source_that_breaks_off_keeps_nothing(database, ask):
    """An exception while rows are made ends the COPY."""

    def rows():
        yield row("one")
        raise StoreError("the source is gone")

    with pytest.raises(StoreError, match="the source is gone"), connection() as held:
        copy_in(held, "decisions", COLUMNS, TYPES, rows())
    assert ask("SELECT count(*) FROM overnight.decisions") == [(0,)]


def test_a_staging_table_is_gone_after_its_transaction(database):
    """It has the columns asked for and no constraint."""
    with connection() as held:
        table = staging(held, "decisions", ("external_id", "state"))
        assert (
            copy_in(held, table, ("external_id", "state"), ("text", "json"), [("a", None), ("a", "1")]) == 2
        )
        assert held.execute("SELECT count(*) FROM pg_temp.staging").fetchone() == (2,)
        held.commit()
        assert held.execute("SELECT to_regclass('pg_temp.staging')").fetchone() == (None,)


def test_memory_stays_bounded(database):
    """100 MB of rows go in and come out through a few: looked at after every thousand."""
    state = '{"text": "' + "x" * 10_000 + '"}'
    process, seen = psutil.Process(), []

    def looked_at(rows):
        for number, one in enumerate(rows):
            if number % 1000 == 0:
                seen.append(process.memory_info().rss)
            yield one

    with connection() as held:
        copy_in(
            held, "decisions", COLUMNS, TYPES, looked_at(row(f"d{number}", state) for number in range(10_000))
        )
        found = looked_at(stream(held, "SELECT state FROM overnight.decisions", ("json",)))
        assert sum(len(one["text"]) for (one,) in found) == 10_000 * 10_000
    assert len(seen) == 20
    assert max(seen) - seen[0] < 30 * 2**20


def test_a_reader_that_fails_in_the_middle_of_a_stream_says_so(database):
    """Its error comes at once, whatever is still on its way, and the next one has a connection of its own."""

    def read():
        with connection() as held:
            for (number,) in stream(held, "SELECT n::bigint FROM generate_series(1, 1000000) n", ("int8",)):
                assert number < 2

    with pytest.raises(AssertionError):
        read()
    with connection() as held:
        assert held.execute("SELECT 1").fetchone() == (1,)
