"""Training on 4-bit base weights, through bitsandbytes' CPU kernels."""

import random
from pathlib import Path

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from safetensors.torch import load_file

from core.errors import ConfigError
from core.language import four_bit
from core.language.config import ModelConfig
from core.language.four_bit import choose_quantization
from core.language.group import plain_logprobs, shared_logprobs
from core.language.model import load_checkpoint, load_model
from core.language.row import TokenGroup
from core.language.testing import tiny_language_model
from core.training import backends
from core.training.adapter import compute_in_model_type, new_adapter
from core.training.backends import need_backend
from core.training.config import AdapterSettings, SftSettings
from core.training.progress import read_progress
from core.training.worker import train_here

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose layers are as wide as a block of 4-bit weights."""
    return tiny_language_model(tmp_path_factory.mktemp("wide") / "model", width=64)


def adapted(folder: Path, dtype: str) -> torch.nn.Module:
    config = ModelConfig(name="wide", source=str(folder), context_length=256)
    model = new_adapter(load_model(config, dtype, CPU, "nf4").model, AdapterSettings(r=4), config)
    compute_in_model_type(model)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def gradients(model: torch.nn.Module, logprobs_N: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    (logprobs_N * torch.linspace(-1, 1, len(logprobs_N))).sum().backward()
    return torch.cat([p.grad.flatten().float() for p in model.parameters() if p.grad is not None])


def some_groups() -> list[TokenGroup]:
    stream = random.Random(0)

    def words(length: int) -> tuple[int, ...]:
        return tuple(stream.randrange(256) for _ in range(length))

    return [
        TokenGroup(words(40), (words(6), words(3), words(9))),
        TokenGroup(words(17), (words(1), words(4))),
    ]


def test_every_linear_layer_but_the_head_is_packed_and_adapted(wide):
    """7 layers a block, each half a byte a weight, and an adapter on every one of them, in float32."""
    model = adapted(wide, "fp32")
    packed = [name for name, module in model.named_modules() if isinstance(module, Linear4bit)]
    assert len(packed) == 2 * 7
    assert not any("lm_head" in name for name in packed)
    weight = model.get_submodule(packed[0]).weight
    assert (weight.dtype, weight.numel()) == (torch.uint8, 64 * 64 // 2)
    trained = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * 7
    assert set(trained.values()) == {torch.float32}


@pytest.mark.parametrize(("dtype", "at_most", "gradient"), [("fp32", 1e-5, 1e-5), ("bf16", 0.05, 0.05)])
def test_sharing_gives_the_plain_computation_on_the_same_packed_weights(wide, dtype, at_most, gradient):
    """Log-probabilities (largest difference) and the adapter's gradients (relative L2)."""
    model, groups = adapted(wide, dtype).train(), some_groups()
    plain_N = torch.cat([plain_logprobs(model, group) for group in groups])
    expected = gradients(model, plain_N)
    shared_N = shared_logprobs(model, groups)
    assert (plain_N - shared_N).abs().max() <= at_most
    assert (gradients(model, shared_N) - expected).norm() / expected.norm() <= gradient


def test_a_look_leaves_gradients_as_they_were(wide):
    """Answering in evaluation mode, as before the first step and between steps, changes nothing in training."""
    model, groups = adapted(wide, "fp32").train(), some_groups()
    before = gradients(model, shared_logprobs(model, groups))
    with torch.no_grad():
        shared_logprobs(model.eval(), groups)
    assert torch.equal(gradients(model.train(), shared_logprobs(model, groups)), before)


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_an_adapter_learns_on_packed_weights_and_loads_on_full_ones(  # noqa: PLR0917
    tmp_path, wide, choices, spec_of, settings_of, method
):
    """The held-out figure improves; the record says what was trained on; evaluation merges into the full weights."""
    settings = settings_of[method](quantization="nf4", epochs=4, gradient_checkpointing=True)
    spec = spec_of(wide, choices, tmp_path / "run", settings, adapter=AdapterSettings(r=8, dropout=0.1))
    checkpoint = train_here(spec)
    name = "loss" if method == "sft" else "reward"
    better = checkpoint.metrics[name] - checkpoint.metrics[f"start_{name}"]
    assert (better < 0) if method == "sft" else (better > 0)
    assert checkpoint.notes["quantization"] == "nf4"
    assert any(
        "evaluation and export put the adapter on the full ones" in said for said in checkpoint.notes["said"]
    )
    full = load_checkpoint(checkpoint, device=CPU).model
    assert not any(isinstance(module, Linear4bit) for module in full.modules())
    saved = load_file(Path(checkpoint.path) / "adapter_model.safetensors")
    assert all("lora_" in key for key in saved)


def test_a_stage_goes_on_from_an_adapter_on_packed_weights(tmp_path, wide, choices, spec_of, settings_of):
    """The start's figures are those the stage before ended with."""
    first = train_here(spec_of(wide, choices, tmp_path / "one", settings_of["sft"](quantization="nf4")))
    second = spec_of(wide, choices, tmp_path / "two", settings_of["sft"](quantization="nf4"), start=first)
    train_here(second)
    looks = [line.metrics["loss"] for line in read_progress(tmp_path / "two") if line.phase == "eval"]
    assert looks[0] == pytest.approx(first.metrics["loss"], abs=1e-5)


def test_auto_is_nf4_on_cuda_with_bitsandbytes(monkeypatch):
    """Elsewhere the full weights are kept, and the reason said."""
    assert choose_quantization("auto", torch.device("cuda")).quantization == "nf4"
    on_cpu = choose_quantization("auto", CPU)
    assert (on_cpu.quantization, on_cpu.reason) == (
        "none",
        "full base weights: 4 bits need CUDA and bitsandbytes",
    )
    monkeypatch.setattr(four_bit, "find_spec", lambda _: None)
    assert choose_quantization("auto", torch.device("cuda")).quantization == "none"


def test_what_cannot_have_4_bits_is_refused(monkeypatch):
    """Apple's GPU, other trainers, and a machine without bitsandbytes: one line each, before any work."""
    with pytest.raises(ConfigError, match=r"needs bitsandbytes and cuda or cpu, and this is mps with it"):
        choose_quantization("nf4", torch.device("mps"))
    with pytest.raises(ConfigError, match=r"trainer 'trl' can't do this: it has no 4-bit base weights"):
        need_backend(SftSettings(trainer="trl", quantization="nf4"), AdapterSettings())
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"bitsandbytes, which is not installed: pip install"):
        need_backend(SftSettings(quantization="nf4"), AdapterSettings())
