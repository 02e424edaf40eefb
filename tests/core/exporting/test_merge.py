"""Merging, and the adapters that can't be merged or shipped."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from core.errors import ExportError, ModelError
from core.exporting.config import ReplayPrompt
from core.exporting.lora import write_adapter
from core.exporting.merge import check_finite, merge_adapter
from core.exporting.release import release
from core.exporting.replay import encode_prompts
from core.language.model import load_tokenizer


@pytest.fixture(scope="module")
def probes(tiny_llama):
    return encode_prompts(
        load_tokenizer(tiny_llama), [ReplayPrompt(prompt="A round of drafts in autumn.")], 100
    )


def test_a_tokenizer_model_file_is_kept(tiny_llama, tiny_adapter, probes, tmp_path):
    """Transformers 5 drops tokenizer.model when it saves; the base's own files are copied."""
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    (base / "tokenizer.model").write_bytes(b"sentencepiece")
    merge = merge_adapter(base, tiny_adapter, tmp_path / "merged", probes=probes)
    assert merge.parity_kl < 1e-6
    for name in ("tokenizer.model", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "merged" / name).read_bytes() == (base / name).read_bytes()


def test_a_weight_that_is_not_finite_is_named(tiny_llama, tiny_adapter, tmp_path):
    """A diverged adapter is refused before anything is written, by the tensor's name."""
    broken = shutil.copytree(tiny_adapter, tmp_path / "broken")
    weights = load_file(broken / "adapter_model.safetensors")
    name = next(key for key in weights if "lora_B" in key)
    weights[name][0, 0] = float("nan")
    save_file(weights, broken / "adapter_model.safetensors")
    with pytest.raises(ExportError, match=r"lora_B.*is not finite"):
        merge_adapter(tiny_llama, broken, tmp_path / "merged")
    with pytest.raises(ExportError, match=r"lora_B.*is not finite"):
        write_adapter(broken, tmp_path / "lora", "some/model")
    assert not (tmp_path / "merged").exists()


def test_a_weight_too_large_for_f16_is_named(tmp_path):
    """The converter would write infinity with a mere warning."""
    with pytest.raises(ExportError, match=r"tensor w of .* holds 70000"):
        check_finite({"w": torch.tensor([1.0, -70000.0])}, tmp_path)


def test_lora_on_embeddings_tied_to_the_head_is_caught(tiny_llama, probes, tmp_path):
    """PEFT merges it into the shared matrix and the model changes; only reading it back shows that."""
    model = LlamaForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["embed_tokens"]))
    for name, weight in adapted.named_parameters():
        if "lora_embedding" in name:
            torch.nn.init.normal_(weight, std=0.5)
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with pytest.raises(ExportError, match="answers differently"):
        merge_adapter(tiny_llama, tmp_path / "adapter", tmp_path / "merged", probes=probes)


def test_a_published_adapter_names_its_base_by_public_id(tiny_adapter, tmp_path):
    """PEFT writes the folder the model was loaded from; that means nothing elsewhere."""
    write_adapter(tiny_adapter, tmp_path / "lora", "owner/model")
    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/model"
    assert sorted(path.name for path in (tmp_path / "lora").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_an_incomplete_adapter_says_what_is_needed(tmp_path):
    """A folder without weights is one clear line."""
    with pytest.raises(ExportError, match=r"adapter_config.json and adapter_model.safetensors are needed"):
        write_adapter(tmp_path, tmp_path / "lora", "owner/model")


def test_a_base_without_chat_template_is_refused(request_for, tiny_llama, tmp_path):
    """Servers would silently fall back to another model's template."""
    bare = shutil.copytree(tiny_llama, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        release(request_for().model_copy(update={"base": str(bare)}))
