"""Decisions come in whatever way, and every row's end is known."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg.rows import dict_row

from core.accounting import Accounting
from core.errors import DataError
from core.store import pages
from core.store.decisions import ingest
from core.store.engine import connection
from core.store.migrate import downgrade, migrate

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
GOOD = {
    "external_id": "one",
    "agent_type": "FILER",
    "state": {"text": "an invoice", "weight": 1.5},
    "action": '{"folder": "bills"}',
    "model_version": "base",
    "created_at": AT,
    "feedback": "CONFIRMED",
    "components": {"immediate": {"userFeedback": 1}},
}


def kept(source="app", *rows, now=AT + timedelta(days=1)):
    total = Accounting()
    for page in ingest(source, rows, now=now):
        total += page
    return total


def stored(query="SELECT * FROM overnight.decisions ORDER BY number"):
    with connection() as held, held.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


def test_a_row_is_kept_and_the_same_row_again_changes_nothing(database):
    """Documents may come parsed or as text."""
    assert kept("app", GOOD) == Accounting(read=1, written=1)
    again = GOOD | {"state": '{"weight": 1.50, "text": "an invoice"}', "action": {"folder": "bills"}}
    assert kept("app", again) == Accounting(read=1, unchanged=1)
    (row,) = stored()
    assert row["state"] == {"text": "an invoice", "weight": 1.5}
    assert (row["revision"], row["updated_at"], row["feedback"]) == (1, AT, "CONFIRMED")
    assert kept("other app", GOOD) == Accounting(read=1, written=1)


def test_the_newest_of_an_id_stands(database):
    """A later one replaces; an older one, or the older of two in one page, is kept aside; the same twice counts once."""
    later = GOOD | {"feedback": "OVERRIDDEN", "updated_at": AT + timedelta(hours=1)}
    assert kept("app", GOOD, GOOD, later) == Accounting(
        read=3, written=1, quarantined={"older_copy": 1}, skipped={"given twice": 1}
    )
    assert kept("app", GOOD) == Accounting(read=1, quarantined={"older_copy": 1})
    latest = later | {"feedback": "CORRECTED", "updated_at": AT + timedelta(hours=2)}
    assert kept("app", latest) == Accounting(read=1, written=1)
    (row,) = stored()
    assert (row["feedback"], row["revision"]) == ("CORRECTED", 2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": '{"text": "cut'}, "bad_json"),
        ({"state": "[1]"}, "bad_json"),
        ({"state": {"x": float("nan")}}, "non_finite"),
        ({"state": '{"x": 1e400}'}, "non_finite"),
        ({"confidence": float("inf")}, "non_finite"),
        ({"state": {"x": "a\0b"}}, "nul_char"),
        ({"reasoning": "a\0b"}, "nul_char"),
        ({"state": {"x": "\ud800"}}, "bad_unicode"),
        ({"state": '{"x": "\\ud800"}'}, "bad_unicode"),
        ({"state": {"x": "y" * (50 * 2**20)}}, "oversize"),
        ({"state": '{"x":' * 20_000 + "1" + "}" * 20_000}, "too_deep"),
        ({"agent_type": "CLERK"}, "unknown_agent_type"),
        ({"feedback": "LIKED"}, "unknown_feedback"),
        ({"action": None}, "missing_value"),
        ({"created_at": "yesterday"}, "bad_time"),
        ({"created_at": AT + timedelta(days=2)}, "clock_skew"),
        ({"step": -1}, "bad_number"),
        ({"logprobs": {"a": -1}}, "bad_logprobs"),
        ({"logprobs": [{"token": "x", "logprob": -0.1}]}, "bad_logprobs"),
        ({"logprobs": "[-0.5, 0.7]"}, "bad_logprobs"),
        ({"logprobs": [True]}, "bad_logprobs"),
        ({"step": 1e400}, "non_finite"),
    ],
)
def test_what_can_not_be_used_is_kept_aside_and_the_others_are_done(database, change, reason):
    """With the reason, and as it came; released when the row comes again and can be used."""
    bad = GOOD | {"external_id": "two"} | change
    assert kept("app", GOOD, bad) == Accounting(read=2, written=1, quarantined={reason: 1})
    assert kept("app", bad) == Accounting(read=1, quarantined={reason: 1})
    (row,) = stored("SELECT * FROM overnight.quarantine")
    assert (row["external_id"], row["reason"], row["released_at"]) == ("two", reason, None)
    assert row["raw"]
    assert kept("app", GOOD | {"external_id": "two"}).written == 1
    (row,) = stored("SELECT * FROM overnight.quarantine")
    assert row["released_at"] is not None


def test_ids_that_no_index_holds_are_kept_aside(database):
    """Two that are equal to where they are cut, and two that differ in a letter that is replaced: each counted."""
    names = ["x" * 5_000 + "1", "x" * 5_000 + "2", "a\0", "a\ufffd\0"]
    total = kept("app", GOOD, *(GOOD | {"external_id": name} for name in names))
    assert total == Accounting(read=5, written=1, quarantined={"bad_id": 2, "nul_char": 2})
    ids = stored("SELECT external_id FROM overnight.quarantine ORDER BY number")
    assert {len(row["external_id"]) for row in ids} == {1_000, 2, 3}


def test_what_only_looks_like_a_forbidden_letter_is_kept(database):
    """A backslash before 'u0000', a whole surrogate pair, and a time without a zone, which is UTC."""
    row = GOOD | {"state": {"x": "\\u0000 \U0001f600"}, "created_at": "2026-11-01T12:00:00.000"}
    assert kept("app", row).written == 1
    assert stored()[0]["state"] == row["state"]
    assert stored()[0]["created_at"] == AT


def test_pages_are_kept_one_by_one(database, monkeypatch):
    """What breaks in the third page leaves the two before it."""
    monkeypatch.setattr(pages, "PAGE", 2)

    def rows():
        for name in range(5):
            if name == 4:
                raise RuntimeError("the source is gone")
            yield GOOD | {"external_id": str(name)}

    with pytest.raises(RuntimeError):
        list(ingest("app", rows(), now=AT))
    assert len(stored()) == 4


def test_a_row_that_is_lost_is_an_error():
    """Read 3, accounted for 2."""
    assert Accounting(read=2, written=1, skipped={"x": 1}).checked("rows").accounted == 2
    with pytest.raises(DataError, match=r"nights: 3 rows were read and 2 accounted for"):
        Accounting(read=3, written=1, unchanged=1).checked("nights")


def test_a_clock_that_was_ahead_once_hides_nothing_after_it(database):
    """The feedback that came once it was right is the newer, whatever the row said before."""
    ahead = GOOD | {"feedback": None, "updated_at": AT + timedelta(days=30)}
    assert kept("app", ahead, now=AT + timedelta(days=1)).written == 1
    right = GOOD | {"updated_at": AT + timedelta(days=2)}
    assert kept("app", right, now=AT + timedelta(days=3)) == Accounting(read=1, written=1)
    assert stored()[0]["feedback"] == "CONFIRMED"


def test_what_may_not_be_trained_on_stays_where_it_is(database):
    """As apps say it: a column of their own, whichever database spells it."""
    rows = [
        GOOD | {"external_id": str(place), "is_training_data": said}
        for place, said in enumerate((False, "f", "0", "false", None, True, "t", 1))
    ]
    assert kept("app", *rows) == Accounting(read=8, written=4, skipped={"not for training, says the app": 4})


def test_what_an_app_takes_back_is_taken_out_with_what_it_was_worth(database):
    """The row and its reward, by whichever version; what was held of it is stale. The others stay, and it may come again."""
    kept("app", GOOD, GOOD | {"external_id": "two"})
    kept("other", GOOD)
    with connection() as held:
        numbers = held.execute(
            "INSERT INTO overnight.reward_specs (use_case, version, spec, sha256) "
            "SELECT 'decision_agents', v, '{}', v FROM unnest(ARRAY['a', 'b']) v RETURNING number"
        ).fetchall()
        held.execute(
            "INSERT INTO overnight.rewards (spec, subject, status, components, revision, code) "
            "SELECT s.number, d.number, 'final', '[]', 1, '' FROM overnight.decisions d, overnight.reward_specs s"
        )
        held.execute(
            "INSERT INTO overnight.snapshots (sha256, kind, path, counts, skipped, parents, notes) "
            "VALUES ('rows', 'rows', '/', '{}', '{}', '{}', '{}')"
        )
        held.execute(
            "INSERT INTO overnight.snapshot_subjects SELECT 'rows', 0, %s, array_agg(number) FROM overnight.decisions",
            numbers[1],
        )
    gone = GOOD | {"is_training_data": False}
    odd = GOOD | {"external_id": "a\0b", "is_validation_data": True}
    skipped = {
        "by now not for training, says the app: taken out of the store": 1,
        "held back for validation, says the app": 1,
    }
    assert kept("app", gone, odd) == Accounting(read=2, skipped=skipped)
    left = "SELECT source, external_id FROM overnight.decisions ORDER BY number"
    assert [tuple(row.values()) for row in stored(left)] == [("app", "two"), ("other", "one")]
    assert [row["count"] for row in stored("SELECT count(*) FROM overnight.rewards")] == [4]
    stale = "SELECT stale_since IS NOT NULL AS stale FROM overnight.snapshots"
    assert [row["stale"] for row in stored(stale)] == [True]
    assert kept("app", gone) == Accounting(read=1, skipped={"not for training, says the app": 1})
    assert kept("app", GOOD) == Accounting(read=1, written=1)


def test_of_two_that_were_changed_at_once_the_same_one_stands(database):
    """Whichever comes first."""
    one, other = GOOD, GOOD | {"feedback": "IGNORED"}
    for source, rows in (("a", (one, other)), ("b", (other, one))):
        assert kept(source, *rows) == Accounting(read=2, written=1, quarantined={"older_copy": 1})
    assert len({row["feedback"] for row in stored()}) == 1


def test_a_row_set_aside_stays_so_until_it_is_repaired(database):
    """The copy that stands does not release the one that does not."""
    kept(
        "app",
        GOOD | {"updated_at": AT},
        GOOD | {"feedback": "IGNORED", "updated_at": AT + timedelta(hours=1)},
    )
    query = "SELECT reason, released_at FROM overnight.quarantine"
    assert [(row["reason"], row["released_at"]) for row in stored(query)] == [("older_copy", None)]


def test_an_empty_name_is_none(database):
    """A session, a user, an item."""
    assert kept("app", GOOD | {"session_id": "", "user_id": "", "item_id": ""}).written == 1
    (row,) = stored()
    assert (row["session_id"], row["user_id"], row["item_id"]) == (None, None, None)


@pytest.mark.parametrize("levels", [90, 101, 400, 700, 5_000])
def test_a_document_is_as_deep_as_anybody_reads_it(database, levels):
    """Or it is set aside, as parsed or as text, with whatever backslashes; the rows beside it are kept."""
    words = '{"a":' * levels + r'"C:\\u0000 {[{["' + "}" * levels
    rows = [GOOD, GOOD | {"external_id": "deep", "state": words}]
    deep = levels > 100
    aside = {"too_deep": 1} if deep else {}
    assert kept("app", *rows) == Accounting(read=2, written=2 - deep, quarantined=aside)


def test_documents_of_an_older_store_are_spelt_as_new_ones(database):
    """The same rows again change nothing after its tables were brought up to date."""
    odd = {"x": 1e-7, "b": [1e22, True], "text": "é"}
    rows = [GOOD | {"external_id": str(place), "state": odd, "correction": "none"} for place in range(3)]
    kept("app", *rows)
    before = stored(
        "SELECT external_id, state::text, action::text, correction::text FROM overnight.decisions"
    )
    downgrade("0008")
    migrate()
    assert (
        stored("SELECT external_id, state::text, action::text, correction::text FROM overnight.decisions")
        == before
    )
    assert kept("app", *rows) == Accounting(read=3, unchanged=3)
