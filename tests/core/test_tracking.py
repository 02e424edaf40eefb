"""Weights & Biases: offline unless a key is set, off by config, and one clear line when it refuses."""

import pytest

from core.errors import ConfigError
from core.tracking import Tracker, TrackingSettings, mode


@pytest.fixture
def environment(monkeypatch):
    """No key and no mode, and room to set them."""
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("wanted", "key", "named", "found"),
    [
        ("auto", None, None, "offline"),
        ("auto", "k", None, "online"),
        ("auto", "k", "offline", "offline"),
        ("auto", None, "online", "online"),
        ("online", "k", "offline", "offline"),
        ("offline", "k", None, "offline"),
        ("offline", "k", "disabled", "disabled"),
        ("off", "k", "online", "disabled"),
    ],
)
def test_the_mode_follows_key_setting_and_variable(environment, wanted, key, named, found):
    """'off' and WANDB_MODE=disabled end it; else WANDB_MODE wins; else a key makes 'auto' online."""
    for name, value in (("WANDB_API_KEY", key), ("WANDB_MODE", named)):
        if value:
            environment.setenv(name, value)
    assert mode(TrackingSettings(wandb=wanted)) == found


def test_off_writes_nothing(environment, tmp_path):
    """No folder, no process; figures are taken and dropped."""
    with Tracker(TrackingSettings(wandb="off"), tmp_path / "run", "r1", "train-sft", {}) as tracker:
        tracker.log({"loss": 1.0}, step=1)
        tracker.summary({"verdict": "better"})
    assert not (tmp_path / "run").exists()


def test_offline_figures_lie_in_the_runs_folder(environment, tmp_path):
    """One W&B run a stage, under an id that a resumed stage finds again."""
    with Tracker(TrackingSettings(wandb="offline"), tmp_path, "0123456789", "train-sft", {"a": 1}) as tracker:
        tracker.log({"loss": 1.0}, step=1)
        tracker.summary({"verdict": "better"})
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert file.name == "run-0123456789-train-sft.wandb"


@pytest.mark.parametrize("key", [None, "short"])
def test_online_without_a_good_key_is_one_clear_line(environment, tmp_path, key):
    """Said before anything is sent, with what to do."""
    environment.setenv("HOME", str(tmp_path))
    environment.setenv("NETRC", str(tmp_path / "netrc"))
    if key:
        environment.setenv("WANDB_API_KEY", key)
    with pytest.raises(ConfigError, match=r"Weights & Biases refuses .*: set WANDB_API_KEY, or") as caught:
        Tracker(TrackingSettings(wandb="online"), tmp_path, "r1", "train-sft", {})
    assert "\n" not in str(caught.value)
