"""LoRA layers as one product: what PEFT computes, or PEFT's own computation."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from core.training.adapter import compute_in_model_type


class Layers(nn.Module):
    """Two linear layers, one with a bias."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(12, 20), nn.Linear(20, 6, bias=False)

    def forward(self, x):
        """Something that is not linear between them."""
        return self.second(torch.tanh(self.first(x)))


def adapted(dtype=torch.float32, **settings):
    """PEFT's model, and a copy of it as we compute it."""
    torch.manual_seed(0)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["first", "second"], **settings)
    model = get_peft_model(Layers().to(dtype), lora)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    ours = copy.deepcopy(model)
    compute_in_model_type(ours)
    return model, ours


def computed(model, x):
    x = x.clone().requires_grad_()
    found = model(x)
    found.square().sum().backward()
    weights = [weight.grad for weight in model.parameters() if weight.requires_grad]
    return [found.detach(), x.grad, *weights]


def one_product(model):
    return {type(layer).__name__ for layer in model.modules() if "lora" in type(layer).__module__}


def assert_same(ours, theirs, tolerance=1e-5):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("onednn", [True, False])
def test_one_product_is_what_peft_computes(monkeypatch, onednn):
    """Outputs, the input's gradient and both factors', with a bias, by oneDNN and without it."""
    monkeypatch.setattr("core.training.lora_product.ONEDNN", onednn)
    model, ours = adapted()
    assert "_OneProduct" in one_product(ours)
    x = torch.randn(2, 5, 12)
    assert_same(computed(ours, x), computed(model, x))


def test_gradients_are_those_of_finite_differences():
    """In float32, against the numbers themselves."""
    _, ours = adapted()
    x = torch.randn(3, 12)
    weight = next(weight for name, weight in ours.named_parameters() if "first.lora_A" in name)
    gradient = torch.autograd.grad(ours(x).square().sum(), weight)[0][0, 0].item()
    values = []
    for shift in (1e-2, -1e-2):
        with torch.no_grad():
            weight[0, 0] += shift
            values.append(ours(x).square().sum().item())
            weight[0, 0] -= shift
    assert gradient == pytest.approx((values[0] - values[1]) / 2e-2, rel=1e-2)


def test_an_adapter_that_is_off_or_merged_adds_nothing_twice():
    """Other adapters' ways of being on stay PEFT's own."""
    model, ours = adapted()
    x = torch.randn(5, 12)
    with ours.disable_adapter(), model.disable_adapter():
        torch.testing.assert_close(ours(x), model(x))
    expected = model(x)
    for layer in ours.modules():
        if hasattr(layer, "merge") and hasattr(layer, "lora_A"):
            layer.merge()
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)


def test_dropout_is_drawn_in_training_and_left_out_afterwards():
    """With the same random numbers a layer with dropout drops the same."""
    model, ours = adapted(lora_dropout=0.5)
    x = torch.randn(64, 12)
    torch.manual_seed(1)
    theirs = computed(model.train(), x)
    torch.manual_seed(1)
    assert_same(computed(ours.train(), x), theirs)
    torch.testing.assert_close(ours.eval()(x), model.eval()(x), rtol=1e-5, atol=1e-5)


def test_in_bf16_the_adapter_stays_beside_its_layer():
    """A change that bf16 would round away in the weight still changes the answer."""
    _, ours = adapted(torch.bfloat16)
    layer = next(layer for layer in ours.modules() if hasattr(layer, "lora_A"))
    weight = layer.get_base_layer().weight
    with torch.no_grad():
        weight.fill_(1)
        layer.get_base_layer().bias.zero_()
        layer.lora_A["default"].weight.zero_()[:, 0] = 1
        layer.lora_B["default"].weight.fill_(2.5e-4)
    assert torch.equal(weight + layer.get_delta_weight("default").to(weight.dtype), weight)
    x = torch.tensor([1, -1] * 6, dtype=torch.bfloat16)[None]
    torch.testing.assert_close(layer(x).float(), torch.full((1, 20), 0.002), rtol=1e-2, atol=0)
