"""A file that a person names becomes a snapshot, line by line."""

import json

import pytest

from core.dataset import read_rows
from core.errors import DataError
from core.files import file_digest
from core.given_rows import given_file, given_rows

OURS = {"id": "a", "prompt": "Pick:", "completions": [" A", " B"], "rewards": [1.0, None], "weights": [1, 0]}
DECISION = {
    "prompt": "File this:",
    "completion": '{"folder": "bills"}',
    "reward": 0.7,
    "confidence": 0.9,
    "metadata": {"decisionId": "d1", "userFeedback": "CONFIRMED", "createdAt": "2026-11-01T12:00:00.000Z"},
}


def snapshot_of(tmp_path, lines, name="snapshot"):
    """Lines are JSON values, or bytes as they stand."""
    path = tmp_path / f"{name}.jsonl"
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    )
    return given_rows(path, file_digest(path), tmp_path / name)


def test_both_shapes_of_a_line_become_groups(tmp_path):
    """Ours as it stands; one decision as a group of one, with what training reads from its metadata."""
    made = snapshot_of(tmp_path, [OURS, b"", DECISION])
    ours, decision = read_rows(made)
    assert (ours["id"], ours["completions"], ours["rewards"]) == ("a", [" A", " B"], [1.0, None])
    assert (decision["id"], decision["completions"], decision["rewards"]) == (
        "d1",
        ['{"folder": "bills"}'],
        [0.7],
    )
    assert decision["metadata"] == DECISION["metadata"] | {
        "confidence": 0.9,
        "logged_at": "2026-11-01T12:00:00.000Z",
    }
    assert (made.kind, made.skipped, made.counts["rows"]) == ("given", {}, 2)
    assert made.notes["file_sha256"] == file_digest(tmp_path / "snapshot.jsonl")


def test_the_same_file_gives_the_same_snapshot(tmp_path):
    """Byte for byte, and lines without an id are known by what they say."""
    lines = [DECISION | {"prompt": f"{number}", "metadata": {}} for number in range(30)]
    first, again = (snapshot_of(tmp_path, lines, name) for name in ("one", "two"))
    assert first.sha256 == again.sha256
    assert len({row["id"] for row in read_rows(first)}) == 30


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1]", "no JSON object"),
        (b'{"prompt": "\xff"}', "no UTF-8"),
        (b'{"prompt": "\\ud800", "completion": "x"}', "half of a surrogate pair"),
        (b'{"prompt": "p", "completion": "x", "reward": NaN}', "a number is NaN or infinite"),
        (b'{"prompt": "p", "completion": "x", "reward": 1e999}', "a number is NaN or infinite"),
        (b'{"prompt": "p", "completion": "x", "metadata": {"a": -Infinity}}', "a number is NaN or infinite"),
        ({"prompt": "p", "completion": {"folder": "a"}}, "completion is no text"),
        ({"prompt": "p", "reward": 1}, "completion is no text"),
        ({"completion": "x", "reward": 1}, "no prompt"),
        ({"prompt": " ", "completion": "x"}, "empty prompt"),
        ({"prompt": "p", "completion": "x", "metadata": [1]}, "metadata is no object"),
        ({"prompt": "p", "completion": "x", "reward": "high"}, "rewards can't be read"),
        (
            {"prompt": "p", "completion": "x", "rating": 1},
            "a line with completion or reward has no key 'rating'",
        ),
        (OURS | {"id": "b", "label": 1}, "unknown key 'label'"),
        (OURS | {"id": "b", "rewards": [1]}, "not one reward or weight for each completion"),
        (OURS, "id twice"),
    ],
)
def test_a_line_that_cannot_be_used_is_counted_under_its_reason(tmp_path, line, reason):
    """The lines around it are there."""
    made = snapshot_of(tmp_path, [OURS, line, DECISION])
    assert made.skipped == {reason: 1}
    assert [row["id"] for row in read_rows(made)] == ["a", "d1"]


def test_a_file_without_a_usable_line_is_refused(tmp_path):
    """With the reasons; so are an empty file, one that isn't there, and one that changed meanwhile."""
    with pytest.raises(
        DataError, match=r"no line that can be used \(no JSON: 2\): a line is \{id, prompt, completions"
    ):
        snapshot_of(tmp_path, [b"{", b"}"])
    with pytest.raises(DataError, match=r"no line that can be used \(it is empty\)"):
        snapshot_of(tmp_path, [])
    with pytest.raises(DataError, match=r"is no file on the worker's machine"):
        given_file(str(tmp_path / "none.jsonl"))
    path = tmp_path / "snapshot.jsonl"
    path.write_text(json.dumps(DECISION))
    with pytest.raises(DataError, match=r"changed while it was read"):
        given_rows(path, "0" * 64, tmp_path / "snapshot")
    assert not (tmp_path / "snapshot").exists()


def split_of(tmp_path, rows, name="snapshot"):
    made = snapshot_of(tmp_path, [{"completion": "x", "reward": 1} | row for row in rows], name)
    return [(row["prompt"], row["metadata"], row["split"]) for row in read_rows(made)], made


def test_whole_users_else_whole_sessions_are_held_out(tmp_path):
    """A tenth of them, whatever they did; with one user his sessions, without any name equal prompts; of four nothing."""
    rows = [
        {"prompt": f"{user} {turn}", "metadata": {"userId": f"u{user}", "session": f"s{turn % 2}"}}
        for user in range(20)
        for turn in range(4)
    ]
    found, made = split_of(tmp_path, rows)
    test = {metadata["userId"] for _, metadata, split in found if split == "test"}
    train = {metadata["userId"] for _, metadata, split in found if split == "train"}
    assert (len(test), len(train), test & train) == (2, 18, set())
    assert made.notes["split"] == "2 held out by hash: whole users"

    alone = [{"prompt": f"{turn}", "metadata": {"user": "u", "session_id": turn % 10}} for turn in range(40)]
    found, _ = split_of(tmp_path, alone, "alone")
    assert len({metadata["session"] for _, metadata, split in found if split == "test"}) == 1
    assert sum(split == "test" for *_, split in found) == 4

    nameless = [{"prompt": f"{turn % 20}", "id": f"{turn}"} for turn in range(40)]
    found, _ = split_of(tmp_path, nameless, "nameless")
    assert len({prompt for prompt, _, split in found if split == "test"}) == 2
    assert sum(split == "test" for *_, split in found) == 4
    few, made = split_of(tmp_path, alone[:4], "few")
    assert {split for *_, split in few} == {"train"}
    assert made.notes["split"].startswith("nothing held out: too few")


def test_a_file_that_names_splits_is_taken_at_its_word(tmp_path):
    """A line of it that names none is trained on."""
    rows = [{"prompt": f"{number}"} | ({"split": "test"} if number < 3 else {}) for number in range(40)]
    found, made = split_of(tmp_path, rows)
    assert [prompt for prompt, _, split in found if split == "test"] == ["0", "1", "2"]
    assert made.notes["split"] == "as the file says"


def test_a_session_without_steps_is_in_the_order_of_its_times(tmp_path):
    """Newest first in the file, as apps export them; steps that are there stay."""
    rows = [
        {"prompt": "late", "metadata": {"sessionId": "s", "createdAt": "2026-11-01T12:00:01"}},
        {"prompt": "early", "metadata": {"sessionId": "s", "createdAt": "2026-11-01T13:00:00+01:00"}},
        {"prompt": "stepped", "metadata": {"sessionId": "t", "stepNumber": 7, "createdAt": "2026-11-01"}},
    ]
    found = {prompt: metadata for prompt, metadata, _ in split_of(tmp_path, rows)[0]}
    assert found["late"]["step"] - found["early"]["step"] == 1000
    assert (found["stepped"]["step"], found["late"]["session"]) == (7, "s")
