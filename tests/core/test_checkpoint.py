"""Trained weights are known by their digest and what they grew from."""

import shutil

import pytest

from core.checkpoint import Checkpoint, weights_digest
from core.errors import ModelError


def checkpoint(sha256, *parents, method="sft") -> Checkpoint:
    return Checkpoint(
        kind="adapter", path="/x", sha256=sha256, base_model="tiny", method=method, parents=parents
    )


def test_weights_have_one_digest_wherever_they_lie(tmp_path):
    """Copied, the same; one byte or a file's name changed, another; other files don't count."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model-1.safetensors").write_bytes(b"one")
    (tmp_path / "a" / "model-2.safetensors").write_bytes(b"two")
    before = weights_digest(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "README.md").write_text("a card")
    assert weights_digest(tmp_path / "b") == before
    (tmp_path / "b" / "model-2.safetensors").write_bytes(b"twO")
    assert weights_digest(tmp_path / "b") != before
    (tmp_path / "a" / "model-2.safetensors").rename(tmp_path / "a" / "model-3.safetensors")
    assert weights_digest(tmp_path / "a") != before


def test_a_folder_without_weights_is_named(tmp_path):
    """ModelError with the folder and what to give."""
    with pytest.raises(ModelError, match=r"holds no \*\.safetensors: give a folder with trained weights"):
        weights_digest(tmp_path)


def test_a_label_is_short():
    """Method and the first letters of the digest."""
    assert checkpoint("0123456789abcdef", method="grpo").label == "grpo-01234567"
