"""Which backend trains, and what is refused before any work starts."""

import pytest

from core.errors import ConfigError
from core.training.backends import backend_of, mlx_limits, need_backend, trl_limits
from core.training.config import (
    AdapterSettings,
    DpoSettings,
    GrpoSettings,
    KtoSettings,
    PpoSettings,
    SftSettings,
)


def test_our_own_trainer_is_the_default():
    """It refuses no settings."""
    settings = SftSettings()
    assert backend_of(settings).name == "group"
    need_backend(settings, AdapterSettings())


VLLM = {"backend": "vllm", "url": "http://localhost:1/v1", "model": "served"}
ONLINE = {"train_cut": True}


def grpo(*, online=None, **changes) -> GrpoSettings:
    return GrpoSettings(trainer="trl", estimator="online", online=ONLINE | (online or {}), **changes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (grpo(online={"answers": "listed"}), "can't hold answers to the 'listed' ones"),
        (grpo(online={"sampling": {"json_schema": {}}}), "can't hold answers to a json_schema"),
        (grpo(online={"sampling": {"stop": ["\n"]}}), "ends completions at no text of sampling.stop"),
        (grpo(online={"sampling": {"top_p": 0.9}}), "set sampling.top_p to 1; or"),
        (grpo(online={"rollout": VLLM}), "set online.rollout to torch; or"),
        (grpo(online={"train_cut": False}), "set online.train_cut to true; or"),
        (grpo(advantage_scale="std"), "has a std_floor of its own: set it to 0.0001; or"),
        (grpo(max_kl=1.0), "watches no KL: set max_kl to null; or"),
        (PpoSettings(trainer="trl"), "TRL 1.16 has no ppo"),
        (GrpoSettings(trainer="trl"), "knows no choice among answers"),
        (GrpoSettings(trainer="trl", estimator="sampled"), "not from the legal answers of a choice"),
        (GrpoSettings(trainer="trl", estimator="logged"), "takes no logged groups"),
        (
            DpoSettings(trainer="trl", label_smoothing=0.1),
            "leaves label_smoothing out of loss_type 'sigmoid'",
        ),
        (DpoSettings(trainer="trl", nll_weight=1), "set nll_weight to 0; or"),
        (KtoSettings(trainer="trl", batch_size=2, gradient_accumulation_steps=2), "needs two completions"),
    ],
)
def test_what_trl_lacks_is_refused_with_the_reason(settings, words):
    """And with what to do instead."""
    with pytest.raises(ConfigError) as caught:
        need_backend(settings, AdapterSettings())
    text = str(caught.value)
    assert text.startswith(f"{settings.method}.trainer 'trl' can't do this: ")
    assert words in text
    assert text.endswith("leave trainer at 'group'")


@pytest.mark.parametrize(
    "settings",
    [
        SftSettings(trainer="trl"),
        DpoSettings(trainer="trl", loss_type="robust", label_smoothing=0.1),
        DpoSettings(trainer="trl", loss_type="ipo"),
        KtoSettings(trainer="trl"),
        grpo(),
        grpo(advantage_scale="std", std_floor=1e-4, num_iterations=2, loss_type="token"),
    ],
)
def test_what_trl_has_is_not_refused(settings):
    """SFT, DPO with its variants, KTO, and GRPO that draws freely."""
    need_backend(settings, AdapterSettings())


def test_dropout_is_for_trls_other_methods():
    """Its reference would be another one at every step."""
    adapter = AdapterSettings(dropout=0.1)
    need_backend(DpoSettings(trainer="trl"), adapter)
    with pytest.raises(ConfigError, match=r"set adapter\.dropout to 0; or leave trainer at 'group'"):
        need_backend(grpo(), adapter)


@pytest.mark.parametrize("trainer", ["trl", "mlx"])
def test_choices_are_for_our_own_trainer(trainer):
    """Where a use case's rows are choices, it is said before they are made; pairs of them TRL can learn from."""
    need_backend(SftSettings(), AdapterSettings(), choices=True)
    need_backend(DpoSettings(trainer="trl"), AdapterSettings(), choices=True)
    with pytest.raises(ConfigError, match=r"these rows are choices among legal answers; leave trainer at"):
        need_backend(SftSettings(trainer=trainer), AdapterSettings(), choices=True)


@pytest.mark.parametrize(
    ("trainer", "limits", "package", "said"),
    [
        ("trl", trl_limits, "trl", r"pip install -c constraints\.txt 'trl>=1\.16,<2'"),
        ("mlx", mlx_limits, "mlx_lm", r"pip install -c constraints\.txt 'mlx-lm\[cpu\]"),
    ],
)
def test_a_missing_package_is_named_with_its_installation(monkeypatch, trainer, limits, package, said):
    """TRL and mlx-lm are extras."""
    monkeypatch.setattr(limits, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(ConfigError, match=rf"not installed: {said}"):
        need_backend(SftSettings(trainer=trainer), AdapterSettings())


@pytest.mark.parametrize("settings", [GrpoSettings, DpoSettings, KtoSettings, PpoSettings])
def test_mlx_trains_sft_only(settings):
    """The message says what trains the rest on Apple silicon."""
    with pytest.raises(
        ConfigError, match=r"mlx-lm trains sft only; leave trainer at 'group', which .* torch"
    ):
        need_backend(settings(trainer="mlx"), AdapterSettings())
