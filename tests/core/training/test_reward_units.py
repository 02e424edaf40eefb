"""What rewards are counted in is nothing to PPO: points, or hundreds of them, teach the same."""

import pytest
import torch
from safetensors.torch import load_file

from core.dataset import read_rows, write_snapshot
from core.language.config import model_config
from core.language.model import load_model
from core.training.adapter import new_adapter
from core.training.config import AdapterSettings
from core.training.data import load_groups
from core.training.drawing import draws_of
from core.training.progress import read_progress
from core.training.value_head import add_value_head, load_value_head, save_value_head
from core.training.worker import train_here

ONLINE = {"answers": "listed", "sampling": {"max_tokens": 1, "temperature": 0.1}}


def in_units(folder, rows, factor: float, shift: float):
    rows = [row | {"rewards": [factor * reward + shift for reward in row["rewards"]]} for row in rows]
    return write_snapshot(folder / "rows", "ppo", rows)


@pytest.mark.parametrize("source", ["logged", "online"])
def test_a_run_learns_the_same_whatever_rewards_are_counted_in(  # noqa: PLR0917  (fixtures)
    tmp_path, tiny, choices, sessions, spec_of, settings_of, source
):
    """Rewards x 100 + 1000 (x 100 where a session has two decisions, whose returns a shift would change unequally).

    Losses, gradient norms, KL and weights are the same to rounding, and the squared errors of the value are below 10.
    """
    changes = {"epochs": 3, "value_learning_rate": 1e-2, "max_kl": 50.0}
    rows, shift = list(read_rows(sessions)), 0.0
    if source == "online":
        rows = [
            row for row in read_rows(choices) if row["split"] == "train"
        ]  # so that the last weights are published
        shift = 1000.0
        changes |= {"source": "online", "online": ONLINE, "iterations": 2, "epochs": 1}
    curves, weights = [], []
    for name, factor, plus in (("one", 1.0, 0.0), ("hundred", 100.0, shift)):
        folder = tmp_path / name
        snapshot = in_units(folder, rows, factor, plus)
        settings = settings_of["ppo"](**changes)
        train_here(spec_of(tiny, snapshot, folder / "run", settings, adapter=AdapterSettings(r=4)))
        curves.append([line.metrics for line in read_progress(folder / "run") if line.phase == "train"])
        weights.append(load_file(folder / "run" / "adapter" / "adapter_model.safetensors"))
    assert len(curves[0]) == len(curves[1]) > 6
    for ours, theirs in zip(*curves, strict=True):
        for figure in ("loss", "value_loss", "policy_loss", "grad_norm", "kl"):
            if figure in ours:
                assert theirs[figure] == pytest.approx(ours[figure], rel=1e-3, abs=1e-4), figure
        assert theirs["value_loss"] < 10
    moved, other = (
        torch.cat([tensor.flatten() for name, tensor in sorted(run.items()) if "lora_B" in name])
        for run in weights
    )
    assert 0 < (moved - other).norm() < 1e-3 * moved.norm()


def test_a_run_that_went_back_to_its_start_takes_the_same_scale_again(tmp_path, tiny, choices, settings_of):
    """The start's head is new: the first states are answered again, as they were, and its mean and scale are as before."""
    config = model_config(str(tiny))
    loaded = load_model(config, "fp32", torch.device("cpu"))
    adapted = new_adapter(loaded.model, AdapterSettings(r=4), config)
    add_value_head(adapted, None)
    save_value_head(adapted, tmp_path)
    settings = settings_of["ppo"](source="online", online=ONLINE, gamma=0.5)
    data = load_groups(choices, loaded.tokenizer, settings, 256)
    draws = draws_of(settings, adapted, loaded.tokenizer, data)
    first = draws.batch(data.train, 0)
    mean, scale = adapted.value_head.mean.item(), adapted.value_head.scale.item()
    load_value_head(adapted, tmp_path)
    assert adapted.value_head.new
    assert draws.batch(data.train, 0) == first
    assert (adapted.value_head.mean.item(), adapted.value_head.scale.item()) == (mean, scale) != (0.0, 1.0)
