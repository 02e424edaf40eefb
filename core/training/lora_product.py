"""A LoRA layer in float32 as one product: x (W + s B A) in place of x W + s (x A) B.

Summing the weights costs as much as a handful of tokens, and saves two thin products and three passes over the
activations in every layer: about 8 % of an SFT step's time, and oneDNN's product as much again
(`python -m benchmarks.groups --rows sft`). What is kept for the backward pass is the input alone. In
bf16 the sum would round away what the adapter has learnt, so there the adapter stays beside its layer.
"""

from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional


def multiply_as_one(layer: nn.Module) -> None:
    """Let a plain float32 LoRA layer compute as one product wherever that gives the same."""
    if type(layer) is LoraLinear:
        layer.__class__ = _OneProduct


class _OneProduct(LoraLinear):
    """PEFT's layer, which falls back to PEFT's own computation for whatever is more than a product."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(..., in) to (..., out)."""
        name = self._alone(x)
        if name is None or args or kwargs:
            return super().forward(x, *args, **kwargs)
        base: Any = self.get_base_layer()
        factors = self.lora_A[name].weight, self.lora_B[name].weight
        found: Tensor = _Product.apply(x, base.weight, *factors, self.scaling[name])
        return found if base.bias is None else found + base.bias

    def _alone(self, x: Tensor) -> str | None:
        """The one adapter that is on, where the layer is no more than its product."""
        names = [name for name in self.active_adapters if name in self.lora_A]
        weight = self.get_base_layer().weight
        plain = (
            len(names) == 1
            and not self.disable_adapters
            and not self.merged
            and weight.dtype == x.dtype == torch.float32
            and not weight.requires_grad
            and names[0] not in self.lora_variant
            and not self.lora_bias[names[0]]
        )
        if not plain or (self.training and not isinstance(self.lora_dropout[names[0]], nn.Identity)):
            return None
        return names[0]


class _Product(torch.autograd.Function):
    """(..., in) to (..., out); gradients reach the input and both factors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:  # noqa: PLR0917
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return _linear(x.device)(x, torch.addmm(weight, b, a, alpha=scale))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b = ctx.saved_tensors
        back = gradients[0]
        back_T_O, x_T_I = back.flatten(0, -2), x.flatten(0, -2)
        to_a = (back_T_O @ b).T @ x_T_I * ctx.scale
        to_b = back_T_O.T @ (x_T_I @ a.T) * ctx.scale
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = _linear(x.device)(back, torch.addmm(weight.T, a.T, b.T, alpha=ctx.scale))
        return to_x, None, to_a, to_b, None


def _linear(device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """(..., in) times (out, in) transposed. On a CPU by oneDNN where PyTorch has it: an eighth faster than its BLAS here."""
    return _by_onednn if device.type == "cpu" and ONEDNN else functional.linear


def _by_onednn(x: Tensor, weight: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")  # noqa: SLF001
    return found


ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
