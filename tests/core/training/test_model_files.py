"""The files of configs/models name layers that their architectures have."""

import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoConfig, AutoModelForCausalLM

from core.config import models
from core.language.config import model_config
from core.training.adapter import linear_layers, new_adapter
from core.training.config import AdapterSettings

ARCHITECTURES = {
    "llama-3.1-8b": "llama",
    "mistral-7b": "mistral",
    "phi-3.5-mini": "phi3",
    "qwen2.5-3b": "qwen2",
    "smollm2-135m": "llama",
}
"""What `model_type` says in the config.json of each model."""
LAYERS = 2
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "pad_token_id": 0,
}


@pytest.mark.parametrize("name", models())
def test_an_adapter_lies_on_every_linear_layer_that_a_model_file_names(name):
    """Of a small model of its architecture: each name in every layer, and no layer but the head is forgotten."""
    config = model_config(name)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(ARCHITECTURES[name], **SMALL))
    expected = linear_layers(model)
    adapted = new_adapter(model, AdapterSettings(r=2), config)
    found = [path for path, module in adapted.named_modules() if isinstance(module, LoraLayer)]
    assert sorted(config.lora_targets) == expected
    for target in config.lora_targets:
        assert sum(path.endswith(f".{target}") for path in found) == LAYERS, target
    assert len(found) == LAYERS * len(config.lora_targets)
