"""Adapters written in the other library's format and back; the formats' own readers are asked in test_mlx.py."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import ModelError
from core.language.config import ModelConfig
from core.language.model import load_weights, put_adapter
from core.training.adapter import new_adapter
from core.training.backends.mlx_adapter import mlx_to_peft, peft_to_mlx
from core.training.config import AdapterSettings

IDS = torch.tensor([[5, 9, 200, 31, 77, 8]])


def random_adapter(model: Path, folder: Path, **settings) -> Path:
    """An adapter of random weights on the tiny model, saved by PEFT."""
    config = ModelConfig(name="tiny", source=str(model), context_length=64)
    adapted = new_adapter(load_weights(model), AdapterSettings(**settings), config)
    torch.manual_seed(0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(folder)
    return folder


def change(folder: Path, **values) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def logits(model: Path, adapter: Path) -> torch.Tensor:
    with torch.no_grad():
        return put_adapter(load_weights(model), adapter)(IDS).logits


@pytest.mark.parametrize("settings", [{"r": 4, "alpha": 8}, {"r": 3, "alpha": 7}, {"r": 4, "top_layers": 1}])
def test_there_and_back_gives_the_same_bits(tmp_path, tiny, settings):
    """PEFT to mlx-lm to PEFT: every tensor as it was, the same layers, and the same logits."""
    source = random_adapter(tiny, tmp_path / "peft", **settings)
    peft_to_mlx(source, tmp_path / "mlx", layers=2)
    mlx_to_peft(tmp_path / "mlx", tmp_path / "back", "tiny")
    before, after = (
        load_file(folder / "adapter_model.safetensors") for folder in (source, tmp_path / "back")
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(logits(tiny, source), logits(tiny, tmp_path / "back"))


def test_matrices_are_transposed_and_the_last_layers_named(tmp_path, tiny):
    """mlx-lm reads (in, r) and (r, out), the scale alpha / r, and how many of the last layers are adapted."""
    peft_to_mlx(
        random_adapter(tiny, tmp_path / "peft", r=4, alpha=10, top_layers=1), tmp_path / "mlx", layers=2
    )
    weights = load_file(tmp_path / "mlx" / "adapters.safetensors")
    assert weights["model.layers.1.mlp.down_proj.lora_a"].shape == (64, 4)
    assert weights["model.layers.1.mlp.down_proj.lora_b"].shape == (4, 32)
    settings = json.loads((tmp_path / "mlx" / "adapter_config.json").read_text())
    assert (settings["num_layers"], settings["lora_parameters"]["scale"]) == (1, 2.5)


def test_what_is_left_of_a_scale_goes_into_b(tmp_path, tiny):
    """A scale of 1.3 at rank 4 is alpha 5 and B times 1.04: B / 1.04 and alpha 5.2 are the same function."""
    source = random_adapter(tiny, tmp_path / "peft", r=4, alpha=4)
    peft_to_mlx(source, tmp_path / "mlx", layers=2)
    settings = json.loads((tmp_path / "mlx" / "adapter_config.json").read_text())
    change(tmp_path / "mlx", lora_parameters=settings["lora_parameters"] | {"scale": 1.3})
    mlx_to_peft(tmp_path / "mlx", tmp_path / "back", "tiny")
    change(source, lora_alpha=5.2)
    assert json.loads((tmp_path / "back" / "adapter_config.json").read_text())["lora_alpha"] == 5
    assert (logits(tiny, source) - logits(tiny, tmp_path / "back")).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"use_rslora": True}, "use_rslora"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"bias": "all"}, "bias"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"peft_type": "LOHA"}, "peft_type"),
    ],
)
def test_what_mlx_lm_has_no_word_for_is_refused(tmp_path, tiny, changes, named):
    """One line names the option, and nothing is written."""
    source = random_adapter(tiny, tmp_path / "peft", r=4)
    change(source, **changes)
    with pytest.raises(ModelError, match=f"plain LoRA only: it uses {named}"):
        peft_to_mlx(source, tmp_path / "mlx", layers=2)
    assert not (tmp_path / "mlx").exists()


@pytest.mark.parametrize(
    ("name", "shape"), [("model.embed_tokens.lora_a", (8, 4)), ("model.layers.0.mlp.up_proj.m", (8,))]
)
def test_tensors_that_are_no_lora_of_a_linear_layer_are_refused(tmp_path, tiny, name, shape):
    """Adapters on embeddings and the magnitudes of DoRA, named by their tensor."""
    peft_to_mlx(random_adapter(tiny, tmp_path / "peft", r=4), tmp_path / "mlx", layers=2)
    file = tmp_path / "mlx" / "adapters.safetensors"
    save_file(load_file(file) | {name: torch.zeros(shape)}, file)
    with pytest.raises(ModelError, match=f"{name} is no LoRA matrix"):
        mlx_to_peft(tmp_path / "mlx", tmp_path / "back", "tiny")


def test_several_ranks_and_experts_are_refused(tmp_path, tiny):
    """One rank for all, two axes a matrix."""
    peft_to_mlx(random_adapter(tiny, tmp_path / "peft", r=4), tmp_path / "mlx", layers=2)
    file = tmp_path / "mlx" / "adapters.safetensors"
    weights = load_file(file)
    for shape, said in ((32, 5), r"ranks \[4, 5\]"), ((3, 4, 32), r"on \[2, 3\] axes"):
        save_file(weights | {"model.layers.0.self_attn.q_proj.lora_a": torch.zeros(shape)}, file)
        with pytest.raises(ModelError, match=said):
            mlx_to_peft(tmp_path / "mlx", tmp_path / "back", "tiny")


def test_dora_and_full_training_of_mlx_lm_are_refused(tmp_path, tiny):
    """PEFT's LoRA can't hold them."""
    peft_to_mlx(random_adapter(tiny, tmp_path / "peft", r=4), tmp_path / "mlx", layers=2)
    change(tmp_path / "mlx", fine_tune_type="dora")
    with pytest.raises(ModelError, match="'dora' of mlx-lm"):
        mlx_to_peft(tmp_path / "mlx", tmp_path / "back", "tiny")


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    """The message names what is needed."""
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors are needed"):
        peft_to_mlx(tmp_path, tmp_path / "mlx", layers=2)
