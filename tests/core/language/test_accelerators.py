"""What a GPU must do as the CPU does. The tests on the device itself run only where there is one."""

import random

import pytest
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from core.language.choice import ChoicePolicy
from core.language.dtype import choose_dtype
from core.language.group import plain_logprobs, shared_logprobs
from core.language.model import base_checkpoint, pick_device
from core.language.row import TokenGroup
from core.language.testing import tiny_language_model
from core.training.methods.grpo import sample

DEVICE = pick_device()
on_a_device = pytest.mark.skipif(
    DEVICE.type == "cpu",
    reason="this machine has neither CUDA nor Apple's MPS; everything else ran on its CPU",
)


def parity(model: torch.nn.Module, groups: list[TokenGroup], computed) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities, and all gradients of a weighted sum of them, on the CPU."""
    model.zero_grad()
    logprobs_N = computed(model, groups)
    (logprobs_N * torch.linspace(-1, 1, len(logprobs_N), device=logprobs_N.device)).sum().backward()
    gradients = [p.grad.flatten().float().cpu() for p in model.parameters() if p.grad is not None]
    return logprobs_N.detach().cpu(), torch.cat(gradients)


def plain(model: torch.nn.Module, groups: list[TokenGroup]) -> torch.Tensor:
    return torch.cat([plain_logprobs(model, group) for group in groups])


@on_a_device
@pytest.mark.parametrize("kind", ["llama", "qwen3", "phi3", "gemma3_text"])
def test_the_device_gives_the_cpus_log_probabilities_and_gradients(make, adapted, tree_of, kind):
    """Shared on the device against plain on the device and plain on the CPU, in float32."""
    model, groups = adapted(make(kind)), [tree_of(seed) for seed in range(3)]
    here, gradients_here = parity(model, groups, plain)
    there = model.to(DEVICE)
    for computed in (plain, shared_logprobs):
        logprobs_N, gradients = parity(there, groups, computed)
        assert (logprobs_N - here).abs().max() <= 1e-4
        assert (gradients - gradients_here).norm() / gradients_here.norm() <= 1e-4


@on_a_device
def test_a_choice_on_the_device_is_the_cpus(tmp_path):
    """Probabilities of the letters, in float64 on the CPU whatever the device has."""
    checkpoint = base_checkpoint(str(tiny_language_model(tmp_path / "model")))
    prompts, legal = ["one", "two or three"], [[" A", " B"], [" C", " A", " D"]]
    there = ChoicePolicy(checkpoint, dtype="fp32").probabilities(prompts, legal)
    here = ChoicePolicy(checkpoint, dtype="fp32", device=torch.device("cpu")).probabilities(prompts, legal)
    for one, other in zip(there, here, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


@on_a_device
def test_answers_are_drawn_on_the_device_as_on_the_cpu():
    """GRPO's draws among legal answers."""
    logprobs_G = torch.randn(7).log_softmax(0)
    assert sample(logprobs_G.to(DEVICE), 50, (1, 2), "group") == sample(logprobs_G, 50, (1, 2), "group")


class Attended(TorchFunctionMode):
    """Writes down how PyTorch's attention was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[str, object]] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is functional.scaled_dot_product_attention:
            self.calls.append({"queries": args[0].shape[2], **(kwargs or {})})
        return function(*args, **(kwargs or {}))


def test_roots_are_attended_to_without_a_mask(make):
    """One causal call a root and a layer: with a mask PyTorch could not take its FlashAttention kernel."""
    stream = random.Random(0)
    groups = [
        TokenGroup(tuple(stream.randrange(3, 97) for _ in range(length)), ((5, 6), (7, 8)))
        for length in (11, 19)
    ]
    with Attended() as attended:
        shared_logprobs(make("llama"), groups)
    assert [call["queries"] for call in attended.calls] == [11, 19, 11, 19]
    assert all(call["is_causal"] and call.get("attn_mask") is None for call in attended.calls)


def test_a_gpu_without_bf16_computes_in_fp32(monkeypatch):
    """Older GPUs only imitate bf16."""
    for has, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert choose_dtype(None, "auto", torch.device("cuda")).dtype == expected
