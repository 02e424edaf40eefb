"""Files that are well formed and not the model: each is converted and loaded by llama.cpp itself, and found out."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from peft.tuners.lora import LoraModel
from safetensors.torch import load_file, save_file

from core.errors import ExportError
from core.exporting.check import ADAPTER, FileCheck
from core.exporting.config import ReleaseSettings
from core.exporting.converter import convert_adapter, convert_model
from core.exporting.merge import Merge, merge_adapter
from core.exporting.replay import encode_prompts
from core.language.model import load_tokenizer
from core.promotion import ReleaseCheck

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Trained:
    """The tiny model with an adapter that moves its choices, merged as it should be."""

    base: Path
    adapter: Path
    merge: Merge
    check: FileCheck

    def verdict(self, folder: Path, target: Path):
        """What the check says of a model folder, converted to GGUF, as a file of the trained model."""
        convert_model(folder, target, "tiny")
        return self.check.run({"f16": target})[0]


@pytest.fixture(scope="module")
def trained(tiny_llama, tiny_adapter, tmp_path_factory, replay_prompts) -> Trained:
    rows = replay_prompts(8)
    prompts = encode_prompts(load_tokenizer(tiny_llama), rows, 150)
    folder = tmp_path_factory.mktemp("trained") / "merged"
    merge = merge_adapter(tiny_llama, tiny_adapter, folder, probes=prompts[:3])
    texts = tuple(row.prompt for row in rows)
    check = FileCheck(merge, tiny_llama, prompts, texts, ReleaseSettings())
    return Trained(tiny_llama, tiny_adapter, merge, check)


def test_the_model_itself_passes(trained, tmp_path):
    """The yardstick of the others: the same conversion of the right weights is verified."""
    assert trained.verdict(Path(trained.merge.path), tmp_path / "file.gguf").status is ReleaseCheck.VERIFIED


def test_an_adapter_that_was_not_merged(trained, tmp_path):
    """The base model's weights in the file: far off, and the decisions are others."""
    row = trained.verdict(trained.base, tmp_path / "file.gguf")
    assert row.status is ReleaseCheck.FAILED
    assert row.kl > 0.01
    assert row.choice < 0.8


def test_an_adapter_merged_with_twice_its_scale(trained, tmp_path):
    """Alpha twice what it was trained with: no error anywhere, another model."""
    double = _with_alpha(trained.adapter, tmp_path / "double", 2)
    merge_adapter(trained.base, double, tmp_path / "merged")
    row = trained.verdict(tmp_path / "merged", tmp_path / "file.gguf")
    assert row.status is ReleaseCheck.FAILED
    assert row.kl > 0.01


def test_two_tensors_in_each_others_place(trained, tmp_path):
    """The same matrix of two layers, swapped: every name and shape is right."""
    folder = shutil.copytree(trained.merge.path, tmp_path / "swapped")
    weights = load_file(folder / "model.safetensors")
    first, second = (f"model.layers.{layer}.mlp.up_proj.weight" for layer in (0, 1))
    weights[first], weights[second] = weights[second], weights[first]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert trained.verdict(folder, tmp_path / "file.gguf").status is ReleaseCheck.FAILED


def test_another_models_chat_template(trained, tmp_path):
    """The weights are right to rounding, and the file is refused all the same."""
    folder = shutil.copytree(trained.merge.path, tmp_path / "template")
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"
    )
    row = trained.verdict(folder, tmp_path / "file.gguf")
    assert row.status is ReleaseCheck.FAILED
    assert row.reason == "the chat template is not the tokenizer's"


@pytest.mark.parametrize(("alpha", "status"), [(1, ReleaseCheck.VERIFIED), (2, ReleaseCheck.FAILED)])
def test_the_adapters_own_file_is_loaded_over_its_base(trained, tmp_path, home, alpha, status):
    """As llama.cpp's `--lora` would: it is the trained model; with twice its scale it is not."""
    target = tmp_path / "adapter.gguf"
    convert_adapter(_with_alpha(trained.adapter, tmp_path / "adapter", alpha), trained.base, target)
    (row,) = trained.check.run({ADAPTER: target})
    assert row.status is status
    assert row.bits_per_weight == 16


@pytest.mark.parametrize("weight_type", ["float32", "bfloat16"])
def test_a_merge_that_left_the_adapter_out_is_not_written(trained, tmp_path, monkeypatch, weight_type):
    """Held to float32's rounding in memory, whatever type is stored: an adapter that taught next to nothing shows too."""
    faint = _with_alpha(trained.adapter, tmp_path / "faint", 0.01)
    monkeypatch.setattr(LoraModel, "merge_and_unload", lambda adapted: adapted.unload())
    with pytest.raises(ExportError, match=r"answers differently from the adapter .* at most 1e-06"):
        merge_adapter(
            trained.base,
            faint,
            tmp_path / "merged",
            weight_type=weight_type,
            probes=trained.check.prompts[:3],
        )
    assert not (tmp_path / "merged").exists()


def _with_alpha(adapter: Path, folder: Path, factor: float) -> Path:
    """The same adapter with another scale alpha / r."""
    shutil.copytree(adapter, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["lora_alpha"] *= factor
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
