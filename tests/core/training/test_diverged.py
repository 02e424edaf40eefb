"""Figures that are no numbers, and what a run that ends there says."""

from pathlib import Path

import pytest

from core.training.checkpoints import Best
from core.training.config import DpoSettings
from core.training.diverged import diverged, no_number


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        ({"loss": 0.7, "grad_norm": 1.0}, None),
        ({"reward": float("nan")}, None),
        ({"loss": float("nan"), "grad_norm": 1.0}, "the loss became nan at step 3"),
        ({"loss": 0.7, "grad_norm": float("inf")}, "the gradient's norm became inf at step 3"),
    ],
)
def test_a_loss_and_a_gradient_must_be_numbers(logs, said):
    """The one that is none is named with its step; what a look could not measure is no reason to end."""
    assert no_number(3, logs) == said


def test_the_end_names_the_rate_to_lower_and_what_is_left(tmp_path):
    """In the same words whoever trained; without a checkpoint none is named."""
    said = str(diverged("the loss became nan at step 3", DpoSettings(learning_rate=0.5), tmp_path))
    assert said == (
        f"the loss became nan at step 3 of dpo in {tmp_path}: lower learning_rate (now 0.5) or set dtype to fp32"
    )
    best = Best(folder=Path("/kept"), step=2, value=0.1, metrics={})
    said = str(diverged("", DpoSettings(), tmp_path, best, after=", after 2 rollbacks"))
    assert f"in {tmp_path}, after 2 rollbacks: lower learning_rate" in said
    assert said.endswith("; the checkpoint of step 2 is in /kept")
