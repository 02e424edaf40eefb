"""Ratings come in whatever way, a rater's latest stands, and every row's end is known."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg.rows import dict_row

from core.accounting import Accounting
from core.store.engine import connection
from core.store.ratings import ingest_entries, ingest_ratings

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
ENTRY = {
    "entry_id": "e1",
    "question_id": "q1",
    "question": "Is the pump well?",
    "widget": "kpi",
    "fixture": "badge",
}
VOTE = {"entry_id": "e1", "rater_id": "ann", "rating": "up", "rated_at": AT, "tags": ["clear"]}


def entered(*rows, source="sim"):
    return sum(ingest_entries(source, rows), Accounting())


def rated(*rows, source="sim"):
    return sum(ingest_ratings(source, rows, now=AT + timedelta(days=1)), Accounting())


def stored(table="ratings"):
    query = f"SELECT * FROM overnight.{table} ORDER BY number"
    with connection() as held, held.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


def set_aside():
    with connection() as held:
        return held.execute(
            "SELECT external_id, reason FROM overnight.quarantine WHERE released_at IS NULL ORDER BY 1, 2"
        ).fetchall()


def test_the_same_again_changes_nothing(database):
    """Entries and ratings; the same entry of another source is another."""
    assert entered(ENTRY, ENTRY) == Accounting(read=2, written=1, skipped={"given twice": 1})
    assert entered(ENTRY) == Accounting(read=1, unchanged=1)
    assert entered(ENTRY, source="other") == Accounting(read=1, written=1)
    assert rated(VOTE) == Accounting(read=1, written=1)
    before = stored()
    assert rated(VOTE, VOTE | {"rating": " Up"}) == Accounting(
        read=2, unchanged=1, skipped={"given twice": 1}
    )
    assert stored() == before
    (entry, _) = stored("rated_entries")
    assert (entry["size"], entry["scenario"], entry["context"]) == ("normal", None, None)
    assert (before[0]["rating"], before[0]["tags"], before[0]["used_at"]) == ("up", ["clear"], None)


def test_a_raters_latest_vote_stands(database):
    """Whichever comes first, in a page or in two; a changed vote is new to whoever had learnt from it."""
    entered(ENTRY)
    later = VOTE | {"rating": "down", "rated_at": AT + timedelta(hours=1)}
    assert rated(later, VOTE) == Accounting(read=2, written=1, skipped={"older vote of the same rater": 1})
    assert rated(VOTE) == Accounting(read=1, skipped={"older vote of the same rater": 1})
    with connection() as held:
        held.execute("UPDATE overnight.ratings SET used_at = now(), claimed_by = 'run'")
    assert rated(VOTE | {"rater_id": "bob"}) == Accounting(read=1, written=1)
    assert rated(VOTE | {"rated_at": AT + timedelta(hours=2)}) == Accounting(read=1, written=1)
    ann, bob = stored()
    assert (ann["rating"], ann["revision"], ann["used_at"], ann["claimed_by"]) == ("up", 2, None, None)
    assert (bob["rating"], bob["revision"]) == ("up", 1)


def test_a_vote_that_is_given_again_is_as_late_as_that(database):
    """Up, and up again: a thumb down between the two, which comes in afterwards, is the older one. Nothing is new by it."""
    entered(ENTRY)
    again = VOTE | {"rated_at": AT + timedelta(hours=2)}
    assert rated(VOTE).written == 1
    with connection() as held:
        held.execute("UPDATE overnight.ratings SET used_at = now()")
    assert rated(again) == Accounting(read=1, unchanged=1)
    between = VOTE | {"rating": "down", "rated_at": AT + timedelta(hours=1)}
    assert rated(between) == Accounting(read=1, skipped={"older vote of the same rater": 1})
    assert rated(VOTE) == Accounting(read=1, unchanged=1)
    (vote,) = stored()
    assert (vote["rating"], vote["rated_at"], vote["revision"]) == ("up", again["rated_at"], 1)
    assert vote["used_at"] is not None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["clear", " clear ", "", "small"], ["clear", "small"]),
        ("too small", ["too small"]),
        ('["a", "b"]', ["a", "b"]),
        ('"a"', ["a"]),
        (" ", []),
        ([], []),
        (None, []),
    ],
)
def test_tags_are_words_each_once(database, given, kept):
    """A list, or one word, as it is or as JSON."""
    entered(ENTRY)
    assert rated(VOTE | {"tags": given}).written == 1
    assert stored()[0]["tags"] == kept


def test_an_id_that_stands_for_two_entries_is_refused(database):
    """In one file and across files; the first stays."""
    other = ENTRY | {"fixture": "gauge"}
    assert entered(ENTRY, other) == Accounting(read=2, written=1, quarantined={"duplicate_entry": 1})
    assert entered(other) == Accounting(read=1, quarantined={"duplicate_entry": 1})
    assert [entry["fixture"] for entry in stored("rated_entries")] == ["badge"]
    assert set_aside() == [("e1", "duplicate_entry")] * len(set_aside())


def test_a_rating_of_nothing_waits_in_quarantine(database):
    """Until its entry is there: its app may never give it again."""
    bob = VOTE | {"rater_id": "bob", "rating": "down"}
    assert rated(VOTE, bob) == Accounting(read=2, quarantined={"unknown_entry": 2})
    assert set_aside() == [("e1", "unknown_entry")] * 2
    assert entered(ENTRY | {"entry_id": "e2"}) == Accounting(read=1, written=1)
    assert entered(ENTRY) == Accounting(read=3, written=3)
    assert set_aside() == []
    assert {(row["rater_id"], row["rating"], row["rated_at"]) for row in stored()} == {
        ("ann", "up", AT),
        ("bob", "down", AT),
    }
    assert entered(ENTRY) == Accounting(read=1, unchanged=1)
    assert rated(VOTE, bob) == Accounting(read=2, unchanged=2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rating": "sideways"}, "unknown_rating"),
        ({"rating": None}, "unknown_rating"),
        ({"entry_id": ""}, "bad_id"),
        ({"entry_id": "x" * 2_000}, "bad_id"),
        ({"notes": "a\0b"}, "nul_char"),
        ({"notes": "\ud800"}, "bad_unicode"),
        ({"tags": {"a": 1}}, "bad_json"),
        ({"tags": [None]}, "bad_json"),
        ({"tags": ["a", 1]}, "bad_json"),
        ({"rated_at": "yesterday"}, "bad_time"),
        ({"rated_at": AT + timedelta(days=9)}, "clock_skew"),
    ],
)
def test_what_is_no_rating_is_set_aside(database, change, reason):
    """The others are kept."""
    entered(ENTRY)
    assert rated(VOTE | {"rater_id": "bob"}, VOTE | change) == Accounting(
        read=2, written=1, quarantined={reason: 1}
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"widget": " "}, "empty_response"),
        ({"widget": None}, "empty_response"),
        ({"question": ""}, "missing_value"),
        ({"context": float("nan")}, "non_finite"),
        ({"question": "x" * 9_000_000}, "oversize"),
    ],
)
def test_what_shows_nothing_is_no_entry(database, change, reason):
    """Nor is one without a question, or one that the database can't hold."""
    assert entered(ENTRY | {"entry_id": "e2"}, ENTRY | change) == Accounting(
        read=2, written=1, quarantined={reason: 1}
    )


def test_words_alone_are_an_entry(database):
    """An app that notes prompt and response; its question is the prompt."""
    assert entered({"entry_id": "e", "prompt": "Say hello", "response": "Hello."}).written == 1
    (entry,) = stored("rated_entries")
    assert (entry["question"], entry["question_id"], entry["size"]) == ("Say hello", "Say hello", None)


def test_a_prompt_that_no_index_holds_is_an_entry(database):
    """Its digest names the question; a name that is given and too long is refused, as is a rater's."""
    long = "Which of them, and why? " * 500
    shown = {"entry_id": "e", "prompt": long, "response": "This."}
    assert entered(shown, shown | {"entry_id": "f", "response": "That."}).written == 2
    names = {entry["question_id"] for entry in stored("rated_entries")}
    assert len(names) == 1
    assert len(names.pop()) < 100
    assert entered(ENTRY | {"question_id": long}) == Accounting(read=1, quarantined={"bad_id": 1})
    vote = {"entry_id": "e", "rating": "up", "rated_at": AT}
    assert rated(
        vote, vote | {"rater_id": "r" * 5000}, vote | {"rater_id": "b", "notes": long}
    ) == Accounting(read=3, written=1, quarantined={"bad_id": 1, "oversize": 1})


def test_nobody_elses_vote_takes_one_out_of_quarantine(database):
    """Nor does the entry's own row: what was refused is in use when the same rater's vote on it is."""
    other = ENTRY | {"fixture": "gauge"}
    assert entered(ENTRY, other).quarantined == {"duplicate_entry": 1}
    bad = VOTE | {"rating": "meh"}
    assert rated(bad, VOTE | {"rater_id": "bob"}).quarantined == {"unknown_rating": 1}
    assert entered(ENTRY).unchanged == 1
    assert set_aside() == [("e1", "duplicate_entry"), ("e1 by ann", "unknown_rating")]
    assert rated(VOTE).written == 1
    assert set_aside() == [("e1", "duplicate_entry")]
