"""Which version an arm stands for, by its part in the slot's history."""

import subprocess
import sys

import numpy as np
import pytest

from core.checkpoint import Checkpoint
from core.config import ROOT
from core.errors import ConfigError
from core.evaluation import Contest, EvaluationSettings, evaluate
from core.experiment import Arm, ExperimentSettings
from core.promotion import ReleaseCheck, decide
from core.store.arms import arm_versions, version_of_arm
from core.store.registry import record_evaluation, record_promotion, record_run, rollback

SLOT = ("fantasy_draft", "default")
BASE = Checkpoint(kind="base", path="/base", sha256="b" * 64, base_model="smollm2-135m", method="untrained")


def adapter(letter):
    return BASE.model_copy(update={"kind": "adapter", "sha256": letter * 64, "method": "sft"})


def promote(candidate, incumbent):
    """A promotion with its evidence, through the store's own functions."""
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(40))),
        clusters_I=np.arange(40),
        values={"win": np.stack([np.tile([0.3, 0.1], 20), np.zeros(40)])},
    )
    found = evaluate(rows, EvaluationSettings(primary_metric="win"), {"model": candidate.sha256})
    record_evaluation("r", found, {"candidate": candidate, "incumbent": incumbent})
    names = {"candidate": candidate.sha256, "incumbent": incumbent.sha256}
    record_promotion("r", decide(found, ReleaseCheck.VERIFIED, use_case=SLOT[0], slot=SLOT[1], **names))


@pytest.fixture
def slot(database):
    record_run(run_id="r", use_case=SLOT[0], preset="demo", config_digest="c", code_revision="k", config={})


def experiment(*models):
    arms = [Arm(name=f"arm {model[:9]}", share=1 / len(models), model=model) for model in models]
    return ExperimentSettings(name="tone", arms=arms, use_case=SLOT[0])


def version(model):
    settings = experiment(model, "another")
    return version_of_arm(settings, settings.arms[0])


def test_roles_follow_the_slots_history(slot):
    """Before any promotion the champion is the untrained model; then it is the one promoted, and 'previous' the one before."""
    assert (version("champion"), version("untrained")) == ("base", "base")
    with pytest.raises(ConfigError, match="no promotion in force in slot 'default', so no previous model"):
        version("previous")
    promote(adapter("1"), BASE)
    assert (version("champion"), version("previous"), version("untrained")) == ("1" * 12, "base", "base")
    promote(adapter("2"), adapter("1"))
    assert (version("champion"), version("previous"), version("untrained")) == ("2" * 12, "1" * 12, "base")
    rollback(*SLOT)
    assert (version("champion"), version("previous")) == ("1" * 12, "base")


def test_a_version_needs_no_store():
    """As it is given; a whole digest by the letters that ratings have."""
    assert version("my model, v2") == "my model, v2"
    assert version("a" * 64) == "a" * 12


def test_arms_of_one_version_are_refused(slot):
    """No rating could tell them apart; two that differ are told by the arms' names."""
    with pytest.raises(
        ConfigError, match=r"arm champion and arm untrained \(untrained\) are both version 'base'"
    ):
        arm_versions(experiment("champion", "untrained"))
    promote(adapter("1"), BASE)
    assert arm_versions(experiment("champion", "untrained")) == {
        "arm champion": "1" * 12,
        "arm untrained": "base",
    }


def test_an_app_loads_nothing_heavy_for_it():
    """No torch, no numeric libraries, no Prefect."""
    heavy = ("torch", "transformers", "scipy", "numpy", "pandas", "prefect", "alembic")
    code = f"import sys, core.store.arms; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
