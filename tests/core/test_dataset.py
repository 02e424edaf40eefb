"""Snapshots: the same rows give the same bytes, and nothing changes under a reader unseen."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from core.dataset import Encoded, ScoredGroup, Snapshot, export_jsonl, read_rows, write_snapshot
from core.errors import DataError, SnapshotError, StorageError

ROWS = [
    {"id": "a", "prompt": "1\n2", "completions": [" A", " B"], "rewards": [1.0, None], "split": "train"},
    {"id": "ä", "prompt": "", "completions": [" A"], "split": "test"},
]


def write(folder, rows=None, **more) -> Snapshot:
    return write_snapshot(folder, "groups", ROWS if rows is None else rows, **more)


def test_the_same_rows_give_the_same_files_wherever_they_lie(tmp_path):
    """Rows and manifest are byte-identical; the order of a row's keys doesn't matter."""
    first = write(tmp_path / "one", skipped={"no outcome": 3}, parents=("p",))
    turned = [dict(reversed(row.items())) for row in ROWS]
    second = write(tmp_path / "deep" / "two", turned, skipped={"no outcome": 3}, parents=("p",))
    for name in ("rows.jsonl", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "deep" / "two" / name).read_bytes()
    assert second == first.model_copy(update={"path": str(tmp_path / "deep" / "two")})


def test_a_snapshot_counts_its_rows_by_split(tmp_path):
    """Rows in all, by split, and those left out by reason; the digest is that of the file."""
    snapshot = write(tmp_path / "s", skipped={"no outcome": 12})
    assert snapshot.counts == {"rows": 2, "train": 1, "test": 1}
    assert snapshot.skipped == {"no outcome": 12}
    assert snapshot.sha256 == hashlib.sha256((tmp_path / "s" / "rows.jsonl").read_bytes()).hexdigest()
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert Snapshot(path=snapshot.path, **manifest) == snapshot


def test_rows_come_back_as_they_went_in(tmp_path):
    """Line breaks, missing scores and letters with dots too."""
    assert list(read_rows(write(tmp_path / "s"))) == ROWS
    assert list(read_rows(write(tmp_path / "none", []))) == []


def test_rows_that_were_changed_are_refused(tmp_path):
    """One byte is enough; the message says where and what to do."""
    snapshot = write(tmp_path / "s")
    path = tmp_path / "s" / "rows.jsonl"
    path.write_bytes(path.read_bytes().replace(b"1.0", b"1.1"))
    with pytest.raises(
        SnapshotError, match=r"rows\.jsonl was changed after it was written .*: delete its folder"
    ):
        list(read_rows(snapshot))
    with pytest.raises(SnapshotError, match="was changed"):
        export_jsonl(snapshot, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_that_are_gone_are_told(tmp_path):
    """The folder was deleted."""
    snapshot = write(tmp_path / "s")
    (tmp_path / "s" / "rows.jsonl").unlink()
    with pytest.raises(
        SnapshotError, match=r"rows\.jsonl can't be read .*: run the stage that writes it again"
    ):
        list(read_rows(snapshot))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_a_value_json_cannot_hold_is_named_and_nothing_is_left(tmp_path, value):
    """NaN would be read by some and refused by others; an earlier snapshot in that place stays."""
    before = write(tmp_path / "s")
    with pytest.raises(DataError, match=r"row 1 \(b\) can't be written as JSON"):
        write(tmp_path / "s", [ROWS[0], {"id": "b", "rewards": [value]}])
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert list(read_rows(before)) == ROWS


def test_an_export_is_byte_identical(tmp_path):
    """Rows and manifest, where a person asked for them; a second export changes nothing."""
    snapshot = write(tmp_path / "s")
    for _ in range(2):
        assert export_jsonl(snapshot, tmp_path / "out" / "here") == tmp_path / "out" / "here" / "rows.jsonl"
    for name in ("rows.jsonl", "manifest.json"):
        assert (tmp_path / "out" / "here" / name).read_bytes() == (tmp_path / "s" / name).read_bytes()


def test_a_snapshot_in_a_place_that_is_no_folder(tmp_path):
    """StorageError, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't write"):
        write(tmp_path / "file" / "s")


def test_a_group_has_one_value_a_completion():
    """Two rewards for three completions is an error; missing scores are fine."""
    with pytest.raises(ValidationError, match="2 rewards for 3 completions"):
        ScoredGroup(id="a", prompt="", completions=("x", "y", "z"), rewards=(1.0, 2.0))
    with pytest.raises(ValidationError, match="1 weights for 2 completions"):
        ScoredGroup(id="a", prompt="", completions=("x", "y"), weights=(1.0,))
    assert ScoredGroup(id="a", prompt="", completions=("x", "y"), rewards=(None, 1.0)).rewards == (None, 1.0)


def test_rows_that_were_written_by_their_maker_are_counted_and_read_like_others(tmp_path):
    """The same lines give the same digest, however they came."""
    rows = [{"a": 1, "id": "x", "split": "train"}, {"a": None, "id": "y", "split": "test"}]
    ready = [Encoded(json.dumps(row, separators=(",", ":")).encode() + b"\n", row["split"]) for row in rows]
    written = write_snapshot(tmp_path / "ready", "rows", ready)
    plain = write_snapshot(tmp_path / "plain", "rows", rows)
    assert (written.sha256, written.counts) == (plain.sha256, {"rows": 2, "train": 1, "test": 1})
    assert list(read_rows(written)) == rows
