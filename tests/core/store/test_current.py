"""What an app is told about the model in use."""

import subprocess
import sys

import pytest

from core.checkpoint import Checkpoint
from core.config import ROOT, load_config
from core.errors import ConfigError
from core.exporting.aliases import point_aliases, releases_folder
from core.exporting.publish import publish_folder
from core.store.current import current_model, policy_versions
from core.store.registry import record_checkpoint, rollback
from core.use_cases import USE_CASES

SLOT = ("fantasy_draft", "default")


@pytest.fixture
def promoted(home, database):
    """A champion with one released format, through the store's own functions."""
    import numpy as np  # noqa: PLC0415

    from core.evaluation import Contest, EvaluationSettings, evaluate  # noqa: PLC0415
    from core.exporting.results import Release  # noqa: PLC0415
    from core.promotion import ReleaseCheck, decide  # noqa: PLC0415
    from core.store.registry import (  # noqa: PLC0415
        record_evaluation,
        record_promotion,
        record_release,
        record_run,
    )

    record_run(run_id="r", use_case=SLOT[0], preset="demo", config_digest="c", code_revision="k", config={})
    base = Checkpoint(
        kind="base", path="/base", sha256="b" * 64, base_model="smollm2-135m", method="untrained"
    )
    tuned = base.model_copy(update={"kind": "adapter", "path": "/tuned", "sha256": "1" * 64, "method": "sft"})
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(40))),
        clusters_I=np.arange(40),
        values={"win": np.stack([np.tile([0.3, 0.1], 20), np.zeros(40)])},
    )
    found = evaluate(rows, EvaluationSettings(primary_metric="win"), {})
    record_evaluation("r", found, {"candidate": tuned, "incumbent": base})
    stage = releases_folder() / ".stage"
    stage.mkdir(parents=True)
    (stage / "model.gguf").write_text("weights")
    files = publish_folder(stage, releases_folder(), "tuned", "gguf", {})
    release = Release(
        name="n",
        check=ReleaseCheck.VERIFIED,
        reason="",
        sha256="dd",
        parameters=1,
        parity_kl=0.0,
        signal_kl=0.0,
        published=(files,),
        seconds={},
    )
    record_release("r", release, tuned.sha256)
    names = {"use_case": SLOT[0], "slot": SLOT[1], "candidate": tuned.sha256, "incumbent": base.sha256}
    record_promotion("r", decide(found, release.check, release="dd", **names))
    point_aliases(*SLOT, release.published)
    return files


def test_before_any_promotion_it_is_the_untrained_model(home, database):
    """The one the preset names, with its digest and folder as soon as a run has read it; an unknown use case is refused."""
    model = current_model(*SLOT)
    assert (model.version, model.kind, model.base_model) == ("base", "base", "smollm2-135m")
    assert (model.checkpoint, model.path, model.release, model.files) == (None, None, None, ())
    assert current_model(*SLOT, preset="small_gpu").base_model == "qwen2.5-3b"
    for use_case in USE_CASES:
        config = load_config(use_case.config, use_case.name, "demo")
        assert current_model(use_case.name, config.slot, preset="demo").base_model == config.model

    base = Checkpoint(
        kind="base", path="/base", sha256="b" * 64, base_model="smollm2-135m", method="untrained"
    )
    record_checkpoint(None, base)
    model = current_model(*SLOT, preset="demo")
    assert (model.version, model.checkpoint, model.path) == ("base", "b" * 64, "/base")
    with pytest.raises(ConfigError, match=r"unknown use case 'poker': choose one of"):
        current_model("poker")
    assert current_model("decision_agents", "FILER").slot == "filer"
    with pytest.raises(ConfigError, match=r"'fillerr' is no agent type: choose one of filer"):
        current_model("decision_agents", "fillerr")


def test_the_champion_with_its_files_and_base_again_after_a_rollback(promoted):
    """Version, digest, base model, and the folder with the link that serves it; 'base' is one version, whenever it is used."""
    model = current_model(*SLOT)
    assert (model.version, model.checkpoint, model.kind) == ("1" * 12, "1" * 64, "adapter")
    assert (model.path, model.base_model, model.release) == ("/tuned", "smollm2-135m", "dd")
    (files,) = model.files
    assert (files.format, files.path, files.files) == ("gguf", promoted.path, {"model.gguf": 7})
    assert files.alias == str(releases_folder() / "fantasy-draft-default-gguf")
    assert (releases_folder() / "fantasy-draft-default-gguf" / "model.gguf").read_text() == "weights"

    assert policy_versions(*SLOT) == {"base": 0, "1" * 12: 1}

    rollback(*SLOT)
    assert policy_versions(*SLOT) == {"base": 0, "1" * 12: 1}
    assert current_model(*SLOT).version == "base"
    assert current_model(*SLOT).checkpoint == "b" * 64
    assert current_model(SLOT[0], "weekend").version == "base"


def test_an_app_loads_nothing_heavy_for_it():
    """No torch, no numeric libraries, no Prefect."""
    heavy = ("torch", "transformers", "scipy", "numpy", "pandas", "prefect", "alembic")
    code = f"import sys, core.store.current; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
