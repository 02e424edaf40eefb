"""The JSON files of seed 003's app, in the forms that they come in."""

import json
from datetime import UTC, datetime

import pytest

from core.errors import DataError
from core.rating_files import entries_in, ratings_in

SIMULATION = {
    "run_id": "r",
    "entries": [
        {
            "entry_id": "e00001",
            "question_id": "q001",
            "question": "Compare pump 1 with pump 2",
            "category": "comparison",
            "scenario": "comparison",
            "fixture": "side-by-side",
            "size": "hero",
            "data_override": {"demoData": {"label": "Health"}},
            "pipeline_meta": {"intent": {"domains": ["industrial"]}, "processing_time_ms": 5},
            "rating": "up",
            "tags": [],
            "notes": "",
        },
        {"entry_id": "e00002", "question": "How many?", "widget": "kpi", "scenario": "stock", "rating": None},
    ],
}


def written(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_simulation_is_entries(tmp_path):
    """Its scenario is the kind of the widget, unless it names one; what was known when it was chosen is kept, and no rating."""
    first, second = entries_in(written(tmp_path, SIMULATION))
    assert (first["widget"], first["fixture"], first["size"]) == ("comparison", "side-by-side", "hero")
    assert first["context"] == {
        "data_override": {"demoData": {"label": "Health"}},
        "category": "comparison",
        "intent": {"domains": ["industrial"]},
    }
    assert "rating" not in first
    assert (second["widget"], second["scenario"], second["context"]) == ("kpi", "stock", None)
    assert list(entries_in(written(tmp_path, SIMULATION["entries"]))) == [first, second]


@pytest.mark.parametrize(
    "content",
    [
        {"ratings": {"e1": {"rating": "up", "tags": ["good"], "notes": "yes"}, "e2": {"rating": "down"}}},
        {"e1": {"rating": "up", "tags": ["good"], "notes": "yes"}, "e2": "down"},
        [
            {"entry_id": "e1", "rating": "up", "tags": ["good"], "notes": "yes"},
            {"entry_id": "e2", "rating": "down"},
        ],
    ],
)
def test_ratings_in_any_form_are_the_same(tmp_path, content):
    """By id under 'ratings' or alone, or as a list; without a time they have the file's, without a rater the one given."""
    path = written(tmp_path, content)
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    first, second = ratings_in(path, "ann")
    assert first == {
        "entry_id": "e1",
        "rating": "up",
        "tags": ["good"],
        "notes": "yes",
        "rater_id": "ann",
        "rated_at": at,
    }
    assert second == {"entry_id": "e2", "rating": "down", "rater_id": "ann", "rated_at": at}


def test_a_simulation_may_carry_its_ratings(tmp_path):
    """Entries that nobody rated are none."""
    (rating,) = ratings_in(written(tmp_path, SIMULATION))
    assert (rating["entry_id"], rating["rating"]) == ("e00001", "up")


def test_a_device_and_a_time_of_its_own_are_kept(tmp_path):
    """As the app's database has them."""
    row = {"entry_id": "e", "rating": "up", "device_id": "phone", "rated_at": "2026-01-01T00:00:00Z"}
    (rating,) = ratings_in(written(tmp_path, [row]), "ann")
    assert (rating["rater_id"], rating["rated_at"]) == ("phone", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("rater", ["rater_id", "device_id", "user_id", "rater"])
@pytest.mark.parametrize("at", ["rated_at", "updated_at", "created_at"])
def test_names_are_those_that_apps_use(tmp_path, rater, at):
    """The same as in a table of theirs; our own name goes before another."""
    row = {"entry_id": "e", "rating": "up", rater: "cy", at: "2026-01-01T00:00:00Z", "note": "no"}
    first, second = ratings_in(written(tmp_path, [row, row | {"rater_id": "dee", "rated_at": "2026"}]), "ann")
    assert (first["rater_id"], first["rated_at"], first["notes"]) == ("cy", "2026-01-01T00:00:00Z", "no")
    assert (second["rater_id"], second["rated_at"]) == ("dee", "2026")


def test_an_id_given_twice_is_no_mapping(tmp_path):
    """Whichever came last would count, and nobody would know."""
    path = written(tmp_path, '{"ratings": {"e1": {"rating": "up"}, "e2": "up", "e1": {"rating": "down"}}}')
    with pytest.raises(DataError, match=r"names 'e1' twice in one object: .* Nothing of it was read"):
        list(ratings_in(path))


def test_a_file_that_was_cut_is_refused_whole(tmp_path):
    """With the place where it ends."""
    text = json.dumps(SIMULATION, indent=1)
    path = written(tmp_path, text[: len(text) // 2])
    for read in (entries_in, ratings_in):
        with pytest.raises(DataError, match=r"no JSON from line \d+, column \d+ .*was it cut in the middle"):
            list(read(path))


def test_other_files_say_what_is_wanted(tmp_path):
    """No entries, no ratings, no file, no UTF-8."""
    (tmp_path / "latin.json").write_bytes('["\u00e9"]'.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.json is no UTF-8 from byte 2 on: save it as UTF-8"):
        list(entries_in(tmp_path / "latin.json"))
    with pytest.raises(DataError, match="holds no entries"):
        list(entries_in(written(tmp_path, {"rows": []})))
    with pytest.raises(DataError, match="holds no ratings"):
        list(ratings_in(written(tmp_path, "5")))
    with pytest.raises(DataError, match="can't be read: No such file"):
        list(entries_in(tmp_path / "none.json"))
