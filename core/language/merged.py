"""A LoRA adapter added into the weights under it for a while: no adapter is computed at every token of a rollout."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Weights plus adapter in place of the weights; afterwards the very same tensors are back, whatever happened.

    Layers stay as they are when they are not of floats (a 4-bit base) or compute more than a product (DoRA, a bias),
    and all of them on a GPU that has no room for a second copy: their adapter is computed beside them.
    """
    layers = _mergeable(model)
    weights = [_weight(layer) for layer in layers]
    before = [weight.data for weight in weights]
    try:
        if _has_room(before):
            for layer, weight in zip(layers, weights, strict=True):
                weight.data = _together(layer)
                layer.merged_adapters.extend(layer.active_adapters)
        yield
    finally:
        for layer, weight, data in zip(layers, weights, before, strict=True):
            weight.data = data
            layer.merged_adapters.clear()


@contextmanager
def answering(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients; afterwards every module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def _mergeable(model: nn.Module) -> list[LoraLinear]:
    return [
        layer
        for layer in model.modules()
        if isinstance(layer, LoraLinear)
        and not layer.disable_adapters
        and not layer.merged
        and _weight(layer).is_floating_point()
        and not any(layer.lora_bias.get(name) or name in layer.lora_variant for name in layer.active_adapters)
    ]


def _weight(layer: LoraLinear) -> nn.Parameter:
    return layer.get_base_layer().get_parameter("weight")


@torch.no_grad()
def _together(layer: LoraLinear) -> Tensor:
    """Summed in float32 (or wider), then in the weight's own type."""
    weight = _weight(layer).data
    total = weight.to(torch.promote_types(weight.dtype, torch.float32), copy=True)
    for name in layer.active_adapters:
        if name in layer.lora_A:
            total += layer.get_delta_weight(name)
    return total.to(weight.dtype)


def _has_room(weights: Sequence[Tensor]) -> bool:
    """Whether a GPU has room for a copy and as much again to work in; other machines swap, or have enough."""
    if not weights or weights[0].device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(weights[0].device)
    return free > 2 * sum(weight.nbytes for weight in weights)
