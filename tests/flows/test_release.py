"""A release that can't be made leaves the night's numbers; a model from elsewhere is released from its own folder."""

import json

import pytest
from safetensors import safe_open

from core.exporting.results import Release
from core.store.engine import transaction
from core.store.registry import champion
from core.store.tables import RunRow
from flows.fantasy_draft import fantasy_draft
from flows.release import release

pytestmark = pytest.mark.slow


def test_a_failed_export_keeps_the_report(prefect_server, home, database, small, letter_model):
    """llama.cpp doesn't know this model's tokenizer: the run fails, and its report still says what the contest found."""
    model = {"model": str(letter_model("ABCDEFGH")), "release.formats": ["gguf"]}
    state = fantasy_draft("demo", small | model, return_state=True)
    assert state.is_failed()
    assert "ExportError: " in state.message
    folder = home / "runs" / str(state.state_details.flow_run_id)
    report = (folder / "report.md").read_text()
    assert "## Verdict" in report
    assert "### By seat" in report
    assert json.loads((folder / "summary.json").read_text())["promoted"] is None
    with transaction() as session:
        assert session.get(RunRow, str(state.state_details.flow_run_id)).status == "failed"
    assert champion("fantasy_draft", "default") is None
    assert not list((home / "releases").glob("fantasy-draft-*"))


def test_a_whole_model_is_released_from_its_own_weights(prefect_server, home, database, small, letter_model):
    """A folder with a whole model, not the preset's: what is published are its weights, and nobody calls them verified."""
    other = letter_model("HGFEDCBA")
    made = release("fantasy_draft", "merged", "demo", small, str(other))
    assert isinstance(made, Release)
    assert made.check == "not verified"
    published = made.folder("merged")
    with (
        safe_open(f"{published}/model.safetensors", "pt") as new,
        safe_open(other / "model.safetensors", "pt") as old,
    ):
        assert set(new.keys()) <= set(old.keys())
        for name in new.keys():  # noqa: SIM118  (safe_open has no __iter__)
            assert (new.get_tensor(name).float() == old.get_tensor(name).float()).all()
