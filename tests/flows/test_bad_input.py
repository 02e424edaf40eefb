"""What is wrong with a run is one clear line in Prefect, and what was there before stays."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

import tasks.open
from core.errors import ConfigError
from core.store.engine import engine
from core.use_cases import UseCaseName
from flows.evaluate import evaluate
from flows.export import export
from flows.fantasy_draft import fantasy_draft
from flows.release import release
from flows.tournament import tournament
from flows.train import train

pytestmark = pytest.mark.slow
NO_FOLDER = Path("/sys/overnight")
"""Even root can't make a folder there."""


def failed(flow, *parameters) -> str:
    """The flow's failure as Prefect shows it, without Prefect's own words."""
    state = flow(*parameters, return_state=True)
    assert state.is_failed()
    words, _, line = state.message.partition(": ")
    assert words == "Flow run encountered an exception"
    assert "\n" not in line
    return line


@pytest.fixture
def earlier(home, database, small):
    """What an earlier run left: the rows of SFT, written out."""
    state = export("fantasy_draft", "sft", "demo", small, return_state=True)
    assert state.is_completed()
    before = contents(home / "stages")
    yield home
    assert contents(home / "stages") == before
    assert export("fantasy_draft", "sft", "demo", small).counts["rows"] == 80


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize(
    ("flow", "parameters", "words"),
    [
        (
            fantasy_draft,
            ("dmeo",),
            "'preset': Input should be 'default', 'demo', 'high_quality', 'small_gpu' or 'debian' (got 'dmeo')",
        ),
        (
            train,
            ("poker", "sft", "demo"),
            "'use_case': Input should be 'fantasy_draft', 'decision_agents' or 'widget_ratings' (got 'poker')",
        ),
        (
            train,
            ("fantasy_draft", "orpo", "demo"),
            "'algorithm': Input should be 'sft', 'grpo', 'dpo', 'kto' or 'ppo' (got 'orpo')",
        ),
        (export, ("fantasy_draft", "orpo"), "'method': Input should be 'sft', 'grpo', 'dpo', 'kto' or 'ppo'"),
        (
            release,
            ("fantasy_draft", "pdf"),
            "'format': Input should be 'lora', 'merged', 'gguf' or 'onnx' (got 'pdf')",
        ),
        (
            tournament,
            ("fantasy_draft", "demo", None, 7),
            "'checkpoint': Input should be a valid string (got 7)",
        ),
        (evaluate, ("fantasy_draft", "demo", ["a"]), "'overrides': Input should be a mapping (got ['a'])"),
    ],
)
def test_a_parameter_that_is_on_no_form(prefect_server, home, flow, parameters, words):
    """One line with the parameter, what it may be and what it was; refused before the first task, nothing is written."""
    line = failed(flow, *parameters)
    assert line.startswith(f"ConfigError: the parameters of flow {flow.fn.__name__}: {words}")
    with pytest.raises(ConfigError):
        flow(*parameters)
    assert list(home.iterdir()) == []


def test_a_deployment_refuses_what_is_not_on_its_form(prefect_server):
    """The server holds the parameters against the form: `prefect deployment run` says which, and makes no run."""
    train.to_deployment("form").apply()
    command = ["-m", "prefect", "deployment", "run", "train/form", "--param", "preset=dmeo"]
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PREFECT_API_URL": prefect_server, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    line = "Validation failed for field 'preset'. Failure reason: 'dmeo' is not one of ['default', 'demo', "
    assert line in " ".join((done.stdout + done.stderr).split())
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("train/form")
        only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        assert client.read_flow_runs(deployment_filter=only) == []


def test_an_unknown_override(prefect_server, home):
    """Named with the key that was meant, before the database is asked for; nothing is written."""
    line = failed(fantasy_draft, "demo", {"sft.learning_rat": 1})
    assert line == (
        "ConfigError: configs/fantasy_draft, preset 'demo': unknown key 'sft.learning_rat': did you mean "
        "'sft.learning_rate'?"
    )
    assert list(home.iterdir()) == []
    with pytest.raises(ConfigError):
        fantasy_draft("demo", {"collect.examples": 0})


def test_a_trainer_that_lacks_something(prefect_server, home, small):
    """Said before rows are made: of the method that is asked for, and of the one that comes before it."""
    line = failed(train, "fantasy_draft", "grpo", "demo", small | {"grpo.trainer": "trl"})
    assert line.startswith(
        "ConfigError: grpo.trainer 'trl' can't do this: its grpo writes completions of its own"
    )
    line = failed(train, "fantasy_draft", "dpo", "demo", small | {"sft.trainer": "trl"})
    assert line.startswith("ConfigError: sft.trainer 'trl' can't do this: its sft imitates one completion")
    assert not (home / "stages").exists()


def test_a_model_folder_that_lacks_something(prefect_server, earlier, small, tiny, tmp_path):
    """Tokenizer, chat template or weights: what, where and what to do, from the training process too."""
    bare, mute, empty = (shutil.copytree(tiny, tmp_path / name) for name in ("bare", "mute", "empty"))
    for path in bare.glob("*token*"):
        path.unlink()
    (mute / "chat_template.jinja").unlink()
    (empty / "model.safetensors").unlink()
    lines = {
        bare: f"ModelError: {bare} has no tokenizer (tokenizer.json, tokenizer.model, vocab.json, spiece.model): "
        "copy the model's own there",
        mute: f"ModelError: {mute} has no chat template: use an instruct model, or add chat_template.jinja",
        empty: f"ModelError: {empty} has no weights (*.safetensors): copy them there, or convert them first",
    }
    for folder, line in lines.items():
        checked = failed(
            tournament, UseCaseName("fantasy_draft"), "demo", small | {"model": str(folder)}, str(tiny)
        )
        assert checked == line
    assert failed(train, "fantasy_draft", "sft", "demo", small | {"model": str(mute)}) == lines[mute]
    for path in (earlier / "stages" / "train-sft").glob("*"):
        shutil.rmtree(path)  # the failed training's own log and settings


def test_a_checkpoint_nobody_knows(prefect_server, earlier, small):
    """A digest that no run made, and no champion yet."""
    line = failed(tournament, "fantasy_draft", "demo", small, "abcdef123")
    assert line.startswith("ModelError: 'abcdef123' is no checkpoint: give the digest from a report")
    line = failed(tournament, "fantasy_draft", "demo", small)
    assert line.startswith(
        "ModelError: fantasy_draft has no champion in slot 'default' yet: give `checkpoint`"
    )


def test_a_data_folder_that_cannot_be_written(prefect_server, database, monkeypatch):
    """StorageError with the folder and the variable to set."""
    if not NO_FOLDER.parent.is_dir():
        pytest.skip("needs a place where nobody may make a folder")
    monkeypatch.setenv("OVERNIGHT_HOME", str(NO_FOLDER))
    line = failed(fantasy_draft, "demo")
    assert line.startswith(f"StorageError: can't write {NO_FOLDER}")
    assert "set OVERNIGHT_HOME" in line


def test_a_disk_that_is_too_small(prefect_server, home, database, small):
    """Said before any work, with both figures."""
    line = failed(fantasy_draft, "demo", small | {"adapter.r": 10**9})
    assert re.search(
        r"has \d+\.\d GB free and this run needs \d{5,}\.\d GB: free some space, or set OVERNIGHT_HOME", line
    )
    assert not (home / "stages").exists()


def test_a_database_that_does_not_answer(prefect_server, earlier, small, monkeypatch):
    """Tried four times, then one line that names the address and never the password; no stage is touched."""
    given = os.environ["OVERNIGHT_DATABASE_URL"]
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/none")
    monkeypatch.setattr(tasks.open.open_run, "retry_delay_seconds", [0, 0, 0])
    line = failed(train, "fantasy_draft", "sft", "demo", small)
    assert line.startswith("StoreError: ")
    assert "127.0.0.1" in line
    assert "secret" not in line
    engine().dispose()
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", given)


def test_a_list_of_players_that_cannot_be_used(prefect_server, earlier, small, tmp_path):
    """A file that isn't there is refused before any work, one with too few players when it is read; no snapshot."""
    gone = tmp_path / "players.json"
    overrides = small | {"players.source": "file", "players.path": str(gone)}
    line = failed(export, "fantasy_draft", "sft", "demo", overrides)
    assert line == (
        f"ConfigError: configs/fantasy_draft, preset 'demo': 'players': path {gone} doesn't exist: set players.path "
        "to a JSON or CSV file of players"
    )
    gone.write_text("[]")
    line = failed(export, "fantasy_draft", "sft", "demo", overrides)
    assert line.startswith(f"DataError: {gone}")


def test_a_champion_that_is_not_there_yet_is_no_failure(prefect_server, home, database, small):
    """The weekly measurement ends completed, says so, and its run is closed in the store."""
    state = evaluate("fantasy_draft", "demo", small, return_state=True)
    assert state.is_completed()
    assert state.message == "nothing to measure: no model was promoted yet"
    assert (home / "runs" / str(state.state_details.flow_run_id) / "report.md").is_file()
