"""A release that can't be made leaves the night's numbers; a model from elsewhere is released from its own folder."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from core.exporting.results import Release
from core.store.engine import transaction
from core.store.registry import champion, find_checkpoint
from core.store.tables import ChampionRow, RunRow
from flows.fantasy_draft import fantasy_draft
from flows.release import deploy, release, rollback

pytestmark = pytest.mark.slow
UNUSED = "http://127.0.0.1:9"
"""Where nothing listens."""


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


def registered(small, url, **more):
    """Overrides that let the tiny model's release go to a server."""
    ollama = {"enabled": True, "served_name": "picker", "url": url, **more}
    return small | {f"release.ollama.{name}": value for name, value in ollama.items()}


def report_of(home, state) -> str:
    return (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()


def put_in_use(folder) -> None:
    """Make a folder's model the champion."""
    checkpoint = find_checkpoint(str(folder)).sha256
    with transaction() as session:
        session.add(ChampionRow(use_case="fantasy_draft", slot="default", checkpoint=checkpoint))


def test_a_release_without_an_ollama_server_is_not_verified_there(
    prefect_server, home, database, small, tiny
):
    """It is no failure: the report says where nobody answered, and the file has its Modelfile."""
    state = release(
        "fantasy_draft", "gguf", "demo", registered(small, UNUSED), small["model"], return_state=True
    )
    assert state.is_completed()
    text = report_of(home, state)
    assert f"**not verified**: no Ollama at {UNUSED}" in text
    assert "has a Modelfile: asked raw" in text
    assert (Path(state.result().folder("gguf")) / "Modelfile").is_file()


def test_a_release_is_registered_and_its_name_is_moved_by_hand(prefect_server, home, database, small, ollama):
    """Registered once however often it is released; the report says the command; deploy and rollback move the name."""
    ollama.use_llama_cpp()
    asked = registered(small, ollama.url)
    first = release("fantasy_draft", "gguf", "demo", asked, small["model"], return_state=True)
    candidate = first.result().ollama.candidate
    assert set(ollama.models) == {candidate}
    assert f"release/deploy --param candidate={candidate}" in report_of(home, first)
    creations = ollama.log.count(("POST", "/api/create"))
    again = release("fantasy_draft", "gguf", "demo", asked, small["model"])
    assert again.ollama.candidate == candidate
    assert ollama.log.count(("POST", "/api/create")) == creations

    address = {name: value for name, value in asked.items() if name.startswith("release.ollama")}
    served = deploy("fantasy_draft", preset="demo", overrides=address, candidate=candidate.split(":")[1])
    assert (served.moved, served.model) == (True, candidate)
    assert ollama.models["picker:latest"] == ollama.models[candidate]
    assert not deploy("fantasy_draft", preset="demo", overrides=address, candidate=candidate).moved
    failed = rollback("fantasy_draft", preset="demo", overrides=address, return_state=True)
    assert "nothing to go back to" in failed.message
    none = deploy("fantasy_draft", preset="demo", overrides=address, return_state=True)
    assert "has no released GGUF file" in none.message


def test_only_the_model_in_use_is_deployed_by_itself(prefect_server, home, database, small, ollama):
    """`auto_deploy` follows the champion: a release of anything else stays a candidate."""
    ollama.use_llama_cpp()
    asked = registered(small, ollama.url, auto_deploy=True)
    other = release("fantasy_draft", "gguf", "demo", asked, small["model"])
    assert not other.ollama.deployed
    assert "picker:latest" not in ollama.models
    put_in_use(small["model"])
    state = release("fantasy_draft", "gguf", "demo", asked, small["model"], return_state=True)
    assert state.result().ollama.deployed
    assert ollama.models["picker:latest"] == ollama.models[other.ollama.candidate]
    assert "`picker` at" in report_of(home, state)


def test_a_chain_registers_what_it_trained_and_serves_nothing_unproven(
    prefect_server, home, database, small, ollama
):
    """A server that refuses the file fails the run and keeps its report; the next run goes on from there."""
    ollama.use_llama_cpp()
    ollama.wrong = "create"
    asked = registered(small, ollama.url, auto_deploy=True) | {"release.formats": ["gguf"]}
    failed = fantasy_draft("demo", asked, return_state=True)
    assert failed.is_failed()
    assert "the file is broken" in failed.message
    assert "## Verdict" in report_of(home, failed)
    assert ollama.models == {}
    ollama.wrong = None
    state = fantasy_draft("demo", asked, return_state=True)
    assert not state.result().promoted
    (candidate,) = ollama.models
    assert f"**verified**: registered as {candidate}" in report_of(home, state)
    assert "release-ollama" in report_of(home, state)
