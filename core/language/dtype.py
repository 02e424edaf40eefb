"""bfloat16 or float32: decided by timing the model itself, because CPUs differ by a factor of four."""

import time
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from core.language.config import ModelConfig
from core.language.model import TORCH_TYPE, FloatType, load_model

_TOKENS = 96
_TRIES = 2


@dataclass(frozen=True, slots=True)
class DtypeChoice:
    """The type of the weights, and a sentence that says why."""

    dtype: FloatType
    reason: str


def choose_dtype(config: ModelConfig, wanted: str, device: torch.device) -> DtypeChoice:
    """`wanted`, or for 'auto' bf16 on an accelerator that has it and the faster of the two on a CPU. Raises: ModelError."""
    if wanted != "auto":
        return DtypeChoice("bf16" if wanted == "bf16" else "fp32", f"{wanted} as configured")
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return DtypeChoice("fp32", "fp32: this GPU computes no bf16")
    if device.type != "cpu":
        return DtypeChoice("bf16", f"bf16: the model runs on {device.type}")
    model = load_model(config, "fp32", device).model
    seconds: dict[FloatType, float] = {"fp32": step_seconds(model)}
    seconds["bf16"] = step_seconds(model.to(TORCH_TYPE["bf16"]))  # type: ignore[arg-type]
    rates = {name: _TOKENS / value for name, value in seconds.items()}
    dtype: FloatType = "bf16" if rates["bf16"] > rates["fp32"] else "fp32"
    return DtypeChoice(
        dtype,
        f"{dtype}: a short forward and backward pass ran at {rates['bf16']:.0f} tokens a second in bf16 and "
        f"{rates['fp32']:.0f} in fp32 on this CPU",
    )


def step_seconds(model: PreTrainedModel) -> float:
    """Seconds of one forward and backward pass over a few tokens: the best of some, after one to warm up.

    Gradients go to the input only, as in training an adapter: the frozen weights get none.
    """
    model.requires_grad_(requires_grad=False)
    embedded = model.get_input_embeddings()(torch.zeros(1, _TOKENS, dtype=torch.long, device=model.device))
    best = float("inf")
    for _ in range(1 + _TRIES):
        inputs = embedded.detach().requires_grad_()
        start = time.perf_counter()
        model(inputs_embeds=inputs, use_cache=False, logits_to_keep=1).logits.float().logsumexp(
            -1
        ).sum().backward()
        best = min(best, time.perf_counter() - start)
    return best
