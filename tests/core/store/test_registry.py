"""What runs made is recorded once and found again."""

import json
import math

import numpy as np
import pytest
from sqlalchemy import text

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.errors import ModelError, RecordError
from core.evaluation import Contest, EvaluationSettings, evaluate
from core.exporting.results import Release
from core.promotion import ReleaseCheck
from core.store.engine import transaction
from core.store.registry import (
    find_checkpoint,
    lineage,
    record_checkpoint,
    record_evaluation,
    record_release,
    record_run,
    record_snapshot,
)

ROWS = Snapshot(kind="rows", path="/rows", sha256="aaaaaa", counts={"rows": 3}, skipped={"no outcome": 1})
GROUPS = Snapshot(kind="sft", path="/groups", sha256="bbbbbb", counts={"rows": 2}, parents=("aaaaaa",))
IMITATOR = Checkpoint(
    kind="adapter",
    path="/sft",
    sha256="cccccc1",
    base_model="tiny",
    method="sft",
    parents=("bbbbbb", "eeeeee"),
)
DRAFTER = Checkpoint(
    kind="adapter",
    path="/grpo",
    sha256="cccccc2",
    base_model="tiny",
    method="grpo",
    parents=("bbbbbb", "cccccc1"),
    metrics={"regret": 0.25},
    notes={"said": ["fp32"]},
)


@pytest.fixture
def run(database):
    """A recorded run's id."""
    record_run(
        run_id="r1", use_case="chess", preset="demo", config_digest="c", code_revision="k", config={"a": 1}
    )
    return "r1"


def counted(table):
    with transaction() as session:
        return session.execute(text(f"SELECT count(*) FROM overnight.{table}")).scalar()


def contents(table):
    with transaction() as session:
        return session.execute(text(f"SELECT * FROM overnight.{table}")).mappings().all()


def an_evaluation():
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(40))),
        clusters_I=np.arange(40),
        values={"win": np.stack([np.tile([0.3, 0.1], 20), np.zeros(40)])},
    )
    return evaluate(rows, EvaluationSettings(primary_metric="win"), {"run": "r1"})


def test_recording_the_same_twice_changes_nothing(run):
    """Every table has the one row it had, byte for byte."""
    release = Release(
        name="n",
        check=ReleaseCheck.VERIFIED,
        reason="r",
        sha256="dd",
        parameters=1,
        parity_kl=0.0,
        signal_kl=0.0,
        published=(),
        seconds={},
    )

    def record():
        record_run(run_id="r1", use_case="x", preset="x", config_digest="x", code_revision="x", config={})
        record_snapshot(run, ROWS)
        record_checkpoint(run, DRAFTER)
        record_evaluation(run, an_evaluation(), {"candidate": DRAFTER, "incumbent": IMITATOR})
        record_release(run, release, DRAFTER.sha256)

    tables = ("runs", "snapshots", "checkpoints", "evaluations", "releases")
    record()
    first = {table: contents(table) for table in tables}
    record()

    assert {table: contents(table) for table in tables} == first
    assert [len(rows) for rows in first.values()] == [1, 1, 2, 1, 1]
    assert first["runs"][0]["config"] == {"a": 1}


def test_a_checkpoint_comes_back_as_it_was(run):
    """Metrics, notes and parents in their order; found by digest and by first letters."""
    record_checkpoint(run, IMITATOR)
    record_checkpoint(run, DRAFTER)

    assert lineage("cccccc2") == [DRAFTER, IMITATOR]
    with pytest.raises(ModelError, match="'cccccc' is more than one checkpoint"):
        find_checkpoint("cccccc")
    with pytest.raises(ModelError, match="'dddddd' is no checkpoint"):
        find_checkpoint("dddddd")
    with pytest.raises(ModelError, match="'cc' is no checkpoint"):
        find_checkpoint("cc")
    with pytest.raises(ModelError, match="lay in /grpo and is gone"):
        find_checkpoint("cccccc2")


def test_a_checkpoint_is_found_where_it_was_recorded_last(run, tmp_path):
    """The data folder moved: the same digest, a new path."""
    record_checkpoint(run, DRAFTER)
    record_checkpoint(run, DRAFTER.model_copy(update={"path": str(tmp_path)}))

    assert find_checkpoint("cccccc2").path == str(tmp_path)
    assert counted("checkpoints") == 1


def test_a_folder_is_a_checkpoint_too(run, tmp_path):
    """A training stage's folder says what it is; a whole model from elsewhere is known by its weights."""
    (tmp_path / "stage" / "adapter").mkdir(parents=True)
    (tmp_path / "stage" / "trained.json").write_text(DRAFTER.model_dump_json())
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")

    assert find_checkpoint(str(tmp_path / "stage")) == DRAFTER
    assert find_checkpoint(str(tmp_path / "stage" / "adapter")) == DRAFTER
    given = find_checkpoint(str(model))
    assert (given.kind, given.path, given.base_model) == ("merged", str(model), str(model))
    assert lineage(given.sha256) == [given]
    with pytest.raises(ModelError, match=r"holds neither trained.json nor a whole model .* nor an adapter"):
        find_checkpoint(str(tmp_path))


def adapter_of(folder, **settings):
    """An adapter's folder as PEFT writes it, of a base it names."""
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "revision": None} | settings)
    )
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return str(folder)


def test_an_adapter_from_elsewhere_says_its_own_base_model(run, tmp_path):
    """By the name, source or hub id of a model file, as a folder that is there, or as any other hub id."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    named = {
        "smollm2-135m": "smollm2-135m",
        "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2-135m",
        "Qwen/Qwen2.5-3B-Instruct": "qwen2.5-3b",
        "somebody/model": "somebody/model",
        str(base): str(base),
    }
    for name, expected in named.items():
        folder = adapter_of(tmp_path / "adapter", base_model_name_or_path=name)
        found = find_checkpoint(folder)
        assert (found.kind, found.method, found.path, found.base_model) == (
            "adapter",
            "given",
            folder,
            expected,
        )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, r"does not say its base model: set base_model_name_or_path there"),
        (
            {"base_model_name_or_path": "model"},
            r"can't be told: its adapter_config.json says 'model', which is no",
        ),
        ({"base_model_name_or_path": "/nowhere/model"}, r"no folder with a model here; set"),
        ({"base_model_name_or_path": "a/b", "peft_type": "IA3"}, r"is a IA3 adapter: only LoRA adapters"),
        (
            {"base_model_name_or_path": "a/b", "revision": "v2"},
            r"is of revision 'v2' of a/b, and 'a/b' is 'main'",
        ),
    ],
)
def test_an_adapter_whose_base_cannot_be_told_is_refused(run, tmp_path, settings, words):
    """One line that names the file and what to set; so is a file that is no JSON."""
    folder = adapter_of(tmp_path / "adapter", **settings)
    with pytest.raises(ModelError, match=words):
        find_checkpoint(folder)
    (tmp_path / "adapter" / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"can't be read as JSON .*: copy the adapter again"):
        find_checkpoint(folder)


def test_lineage_goes_back_to_the_rows(run):
    """Nearest first, each once; the parent that was never recorded ('eeeeee') is left out."""
    for snapshot in (ROWS, GROUPS):
        record_snapshot(run, snapshot)
    for checkpoint in (IMITATOR, DRAFTER):
        record_checkpoint(run, checkpoint)

    assert lineage("cccccc2") == [DRAFTER, IMITATOR, GROUPS, ROWS]
    assert lineage("unknown") == []


def test_what_was_never_recorded_is_refused(run):
    """Rows of a run that nobody began."""
    with pytest.raises(RecordError, match=r"fk_snapshots_run_id.*record what it names first"):
        record_snapshot("r9", ROWS)


@pytest.mark.parametrize(
    "part", [{"metrics": {"loss": math.nan}}, {"metrics": {"loss": math.inf}}, {"notes": {"said": "a\0b"}}]
)
def test_what_jsonb_cannot_hold_is_refused_in_one_line(run, part):
    """NaN, infinity and NUL: nothing is recorded."""
    with pytest.raises(RecordError) as raised:
        record_checkpoint(run, DRAFTER.model_copy(update=part))

    assert "\n" not in str(raised.value)
    assert counted("checkpoints") == 0


def test_an_evaluation_keeps_its_numbers_and_who_played(run):
    """The digests behind the names, the verdict, and all of the figures."""
    evaluation = an_evaluation()
    record_evaluation(run, evaluation, {"candidate": DRAFTER, "incumbent": IMITATOR})

    (row,) = contents("evaluations")
    assert row["id"] == evaluation.id
    assert (row["candidate"], row["incumbent"]) == ("cccccc2", "cccccc1")
    assert row["entrants"] == {"candidate": "cccccc2", "incumbent": "cccccc1"}
    assert row["verdict"] == "better"
    assert row["details"]["primary"]["difference"] == pytest.approx(0.2)
