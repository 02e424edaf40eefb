"""Nothing is ever half written, and a place that can't be written says what to do."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import StorageError, StoreError
from core.files import (
    data_folder,
    digest,
    file_digest,
    make_folder,
    make_readable,
    need_space,
    new_folder,
    storage_error,
    write_bytes,
    write_json,
    write_text,
    writing,
)

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy, safetensors.torch, torch
from core.errors import StorageError
from core.files import write_bytes, writing

folder = Path(sys.argv[1])
weights = {"a": torch.zeros(1 << 18)}
saves = {
    "safetensors": lambda path: safetensors.torch.save_file(weights, path),
    "torch": lambda path: torch.save(weights, path),
    "torch, open file": lambda path: torch.save(weights, path.open("wb")),
    "numpy": lambda path: numpy.save(path.open("wb"), weights["a"].numpy()),
    "ours": lambda path: write_bytes(path, bytes(1 << 20)),
}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
for name, save in saves.items():
    try:
        with writing(folder / "weights"):
            save(folder / "weights")
    except StorageError as error:
        print(name, error, sep=": ")
"""


def test_the_data_folder_is_where_the_variable_says(monkeypatch):
    """OVERNIGHT_HOME, with ~ and without a trailing part."""
    monkeypatch.setenv("OVERNIGHT_HOME", "~/nights")
    assert data_folder() == Path.home() / "nights"
    monkeypatch.setenv("OVERNIGHT_HOME", "here")
    assert data_folder() == Path.cwd() / "here"


def test_without_the_variable_it_is_a_place_of_this_user(monkeypatch):
    """As root a folder that the database's user may pass, else the user's own."""
    monkeypatch.delenv("OVERNIGHT_HOME")
    assert data_folder().name == "overnight"
    assert (data_folder() == Path("/var/lib/overnight")) == (os.geteuid() == 0)


def test_a_digest_knows_order_of_lists_but_not_of_keys():
    """Equal parts give equal digests; moving a value from one part to the next does not."""
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest("a", "b") != digest("ab")
    # sha256 of '["a",1]': the same on every machine, in every year
    assert digest("a", 1) == hashlib.sha256(b'["a",1]').hexdigest()


def test_a_file_digest_is_sha256(tmp_path):
    """Of the bytes: the digest of 'abc' is in every textbook."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_digest(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_writing_replaces_the_whole_file_and_others_may_read_it(tmp_path):
    """No temporary file is left; the mode is 644 whatever the umask of temporary files."""
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"b": 1, "a": Path("/x")})
    write_json(path, {"b": 2, "a": "ä"})
    assert json.loads(path.read_text()) == {"a": "ä", "b": 2}
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    """A folder stands where the file should go: the temporary file is removed."""
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(StorageError, match=r"can't write .*a\.txt: Is a directory"):
        write_text(tmp_path / "a.txt", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "(ENOSPC); free some space, or set OVERNIGHT_HOME to a larger disk"),
        (errno.EACCES, "(EACCES); change its owner, or set OVERNIGHT_HOME to a folder of yours"),
        (errno.EROFS, "(EROFS); it is read-only: set OVERNIGHT_HOME to a folder that is not"),
        (errno.EIO, "(EIO); check the disk"),
    ],
)
def test_a_storage_error_says_what_to_do(number, remedy):
    """By what the operating system said."""
    error = storage_error(Path("/data/runs"), OSError(number, os.strerror(number)))
    assert str(error) == f"can't write /data/runs: {os.strerror(number)} {remedy}"


def test_a_file_that_can_not_be_finished_is_one_error_whoever_writes_it(tmp_path):
    """A process that may write half a MiB saves one: torch, safetensors and numpy each say it in their own words."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert [line.partition(": can't write ")[0] for line in lines] == [
        *("safetensors", "torch", "torch, open file", "numpy", "ours")
    ]
    whole = (
        f"can't write {tmp_path / 'weights'}: File too large (EFBIG); raise the limit on the size of a file"
    )
    assert all(whole in line for line in (lines[0], lines[2], lines[4]))
    assert all("(ENOSPC); free some space" in line for line in (lines[1], lines[3]))


def test_a_full_disk_is_recognised_in_a_librarys_words(tmp_path):
    """What safetensors says when no space is left."""
    with (
        pytest.raises(StorageError, match=r"can't write .*: No space left on device \(ENOSPC\); free some"),
        writing(tmp_path),
    ):
        raise RuntimeError("Error while serializing: I/O error: No space left (os error 28)")


def test_only_what_the_disk_refuses_becomes_a_storage_error(tmp_path):
    """Our own errors, even those that are an OSError, and a library's other errors pass as they are."""
    for error in (StoreError("the database is away"), ValueError("no tensor"), RuntimeError("CUDA error")):
        with pytest.raises(type(error)) as raised, writing(tmp_path):
            raise error
        assert raised.value is error


def test_a_new_folder_takes_the_place_of_the_old_one_at_once(tmp_path):
    """An exception leaves the old one and nothing beside it; a finished one can be read by others."""
    folder = tmp_path / "deep" / "weights"
    for content in (b"first", b"second"):
        with new_folder(folder) as stage:
            write_bytes(stage / "a", content)
    with pytest.raises(StorageError), new_folder(folder) as stage:
        write_bytes(stage, b"a file where the folder is")
    assert [path.name for path in folder.parent.iterdir()] == ["weights"]
    assert (folder / "a").read_bytes() == b"second"
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_file_in_the_way_of_a_folder(tmp_path):
    """The data folder is a file: one line, not a traceback."""
    (tmp_path / "home").write_text("")
    with pytest.raises(StorageError, match=r"can't write .*home/runs: Not a directory"):
        make_folder(tmp_path / "home" / "runs")


def test_too_little_space_is_refused_with_both_figures(tmp_path):
    """What is free and what is needed, before anything is written."""
    need_space(tmp_path, 0.0)
    with pytest.raises(
        StorageError, match=r"has [\d.]+ GB free and this run needs 1000000\.0 GB: free some space"
    ):
        need_space(tmp_path / "new", 1e6)


def test_a_folder_of_somebody_else_is_refused(home, as_a_user):
    """As a user without write permission: StorageError with the folder and what to do."""
    home.chmod(0o555)
    here, below = (as_a_user(make_folder, home / name) for name in (".", "runs"))
    home.chmod(0o755)
    assert here.startswith(f"StorageError: {home} can't be written by this user: change its owner, or set")
    assert below.startswith(f"StorageError: can't write {home / 'runs'}: Permission denied (EACCES); change")


def test_a_folder_made_readable_can_be_served_by_another_user(tmp_path):
    """Folders 755, files 644, all the way down."""
    (tmp_path / "a" / "b").mkdir(parents=True, mode=0o700)
    (tmp_path / "a" / "b" / "c").write_text("")
    (tmp_path / "a" / "b" / "c").chmod(0o600)
    make_readable(tmp_path / "a")
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "a", *sorted((tmp_path / "a").rglob("*")))]
    assert modes == [0o755, 0o755, 0o644]
