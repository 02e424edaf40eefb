"""Frozen base weights in 4 bits while an adapter is trained: QLoRA (Dettmers et al. 2023, arXiv:2305.14314).

bitsandbytes packs all linear layers but the head; each is unpacked to the computing type where it is used. The adapter
learns on the packed weights; evaluation and export put it on the full ones.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch
from transformers import BitsAndBytesConfig

from core.errors import ConfigError

Quantization = Literal["none", "nf4"]
FOUR_BIT_DEVICES = ("cuda", "cpu")


@dataclass(frozen=True, slots=True)
class QuantizationChoice:
    """How the base weights are kept, and a sentence that says why; none where there is nothing to say."""

    quantization: Quantization
    reason: str = ""


def choose_quantization(wanted: str, device: torch.device) -> QuantizationChoice:
    """`wanted`, or for 'auto' nf4 where CUDA and bitsandbytes are. Raises: ConfigError where nf4 can't be had."""
    if wanted == "auto" and (device.type != "cuda" or find_spec("bitsandbytes") is None):
        return QuantizationChoice("none", "full base weights: 4 bits need CUDA and bitsandbytes")
    if wanted == "none":
        return QuantizationChoice("none")
    if device.type not in FOUR_BIT_DEVICES or find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"quantization 'nf4' needs bitsandbytes and {' or '.join(FOUR_BIT_DEVICES)}, and this is {device.type} "
            f"{'without' if find_spec('bitsandbytes') is None else 'with'} it: set quantization to 'none' or 'auto'"
        )
    return QuantizationChoice(
        "nf4", "4-bit base weights (nf4) in training; evaluation and export put the adapter on the full ones"
    )


def four_bit_config(dtype: torch.dtype) -> BitsAndBytesConfig:
    """NormalFloat of 4 bits with quantised constants (the paper's section 3), computed in `dtype`."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def keep_differentiable(model: torch.nn.Module) -> None:
    """Keep a packed model trainable on a CPU after it was looked at.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 lays its weights out anew at the first forward pass in evaluation mode;
    from then on nothing flows back through them, and it does not say so.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
