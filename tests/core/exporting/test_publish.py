"""Folders that appear whole, stay what they were, and can be told when they are not."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from core.errors import ExportError, StorageError
from core.exporting.card import public_name, write_card
from core.exporting.config import CardFacts
from core.exporting.publish import publish_folder, staging_folder, switch_alias, verify_folder


def _publish(root, content="weights", name="agent"):
    with staging_folder(root, name) as stage:
        part = stage / "merged"
        part.mkdir()
        (part / "model.safetensors").write_text(content)
        (part / "model.safetensors").chmod(0o600)
        return publish_folder(part, root, name, "merged", {"tools": {}})


def test_the_same_content_gives_the_same_folder_and_the_alias_follows(tmp_path):
    """Publishing twice changes nothing; other content gets a folder of its own and takes the alias."""
    first, again = _publish(tmp_path), _publish(tmp_path)
    assert first == again
    assert stat.S_IMODE((Path(first.path) / "model.safetensors").stat().st_mode) == 0o644
    switch_alias(first, "agent")
    other = _publish(tmp_path, "better weights")
    alias = switch_alias(other, "agent")
    assert alias.resolve() == Path(other.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["agent-merged", Path(first.path).name, Path(other.path).name]
    )


def test_a_changed_missing_or_foreign_file_is_listed(tmp_path):
    """And publishing the same content again repairs the folder."""
    folder = Path(_publish(tmp_path).path)
    assert verify_folder(folder) == []
    (folder / "model.safetensors").write_text("other")
    (folder / "extra.txt").write_text("x")
    assert verify_folder(folder) == ["extra.txt", "model.safetensors"]
    assert _publish(tmp_path).path == str(folder)
    assert verify_folder(folder) == []
    (folder / "manifest.json").unlink()
    with pytest.raises(ExportError, match=r"no readable manifest.json"):
        verify_folder(folder)


def test_a_pickle_is_never_published(tmp_path):
    """It could run code on whoever loads it."""
    with staging_folder(tmp_path, "agent") as stage:
        (stage / "training_args.bin").write_bytes(b"x")
        with pytest.raises(ExportError, match=r"training_args.bin can run code"):
            publish_folder(stage, tmp_path, "agent", "lora", {})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_a_living_one_is_not(tmp_path):
    """A stage is held by a lock that ends with its process."""
    dead, living = tmp_path / ".stage-agent.dead", tmp_path / ".stage-agent.living"
    for folder in (dead, living):
        folder.mkdir()
        (folder / ".lock").touch()
    with (living / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _publish(tmp_path)
        assert living.exists()
    assert not dead.exists()


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    """The line has the path and what to do."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"), staging_folder(tmp_path / "file" / "releases", "agent"):
        pass
    if os.geteuid() != 0:
        tmp_path.chmod(0o555)
        with pytest.raises(StorageError, match="OVERNIGHT_HOME"), staging_folder(tmp_path, "agent"):
            pass
        tmp_path.chmod(0o755)


def _facts(**changes):
    values = {"base_model": "owner/model", "license": "mit", "summary": "Picks.", "method": "SFT"}
    return CardFacts(**{**values, **changes})


def test_a_card_has_front_matter_figures_and_no_placeholder(tmp_path):
    """Hubs and the converter read the front matter; people the rest."""
    write_card(tmp_path, "agent", "lora", _facts(data={"train": "ab|12"}, tags=("overnight",)))
    text = (tmp_path / "README.md").read_text()
    assert text.startswith('---\nlicense: "mit"\nbase_model: "owner/model"\n')
    assert 'tags: ["overnight", "lora"]' in text
    assert "| train | ab\\|12 |" in text
    assert 'PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("owner/model"), ".")' in text
    assert "More Information Needed" not in text


def test_a_card_never_holds_a_local_path(tmp_path):
    """A base model's folder is cut to its name; elsewhere a path is refused."""
    assert public_name("/data/models/llama-mine") == "llama-mine"
    assert public_name("owner/model") == "owner/model"
    write_card(tmp_path, "agent", "merged", _facts(base_model="/data/models/llama-mine"))
    assert "/data" not in (tmp_path / "README.md").read_text()
    with pytest.raises(ExportError, match="local path"):
        write_card(tmp_path, "agent", "merged", _facts(summary="from /home/someone/run"))
