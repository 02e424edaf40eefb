"""ONNX: one graph with a cache, run by onnxruntime, that is the trained model or is not released."""

import json
import re
import shutil
import sys
from contextlib import chdir
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
)

from core.config import ROOT
from core.errors import ExportError, ModelError
from core.exporting.config import ONNX, Cap, ReleaseSettings
from core.exporting.merge import Merge
from core.exporting.onnx_check import check_onnx, length_warnings
from core.exporting.onnx_converter import DATA, MODEL, write_onnx
from core.exporting.publish import verify_folder
from core.exporting.release import release, releases_folder, require_agreement
from core.exporting.replay import encode_prompts
from core.exporting.results import Agreement, Release
from core.language.folder import copy_tokenizer
from core.language.model import load_tokenizer
from core.promotion import ReleaseCheck


@pytest.fixture(scope="module")
def released(make_request, tmp_path_factory) -> Release:
    """The tiny model with its adapter, released as ONNX and merged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERNIGHT_HOME", str(tmp_path_factory.mktemp("home")))
        return release(make_request(formats=("onnx", "merged")))


@pytest.fixture
def copied(released, tmp_path) -> Path:
    """The released ONNX folder, to be damaged."""
    return Path(shutil.copytree(released.folder("onnx"), tmp_path / "copied"))


@pytest.fixture
def verdict(released, replay_prompts):
    """Call it for what the check says of a folder as a file of the released model."""

    def check(folder: Path) -> Agreement:
        merged = Path(released.folder("merged"))
        merge = Merge(
            path=str(merged),
            parameters=released.parameters,
            weight_type="float32",
            parity_kl=0,
            signal_kl=0,
        )
        prompts = encode_prompts(load_tokenizer(merged), replay_prompts(8), 150)
        return check_onnx(folder / MODEL, merge, prompts, ReleaseSettings())

    return check


def test_a_release_is_verified_and_published(released, tiny_llama):
    """The adapter merged first, nothing rounded and no weight there twice, with card, checksums and no local path."""
    assert released.check is ReleaseCheck.VERIFIED
    (row,) = released.agreements
    assert (row.level, row.top1, row.choice) == ("onnx", 1.0, 1.0)
    assert row.kl < 1e-6 < released.signal_kl
    assert 0 < row.error_max < 1e-3
    assert row.bits_per_weight == pytest.approx(32, abs=0.1)
    assert "largest error" in released.reason
    folder = Path(released.folder("onnx"))
    assert verify_folder(folder) == []
    files = {path.name for path in folder.iterdir()}
    assert {MODEL, DATA, "config.json", "tokenizer.json", "README.md", "manifest.json"} <= files
    assert json.loads((folder / "manifest.json").read_text())["agreements"][0]["error_max"] == row.error_max
    assert "Each file was loaded in onnxruntime" in (folder / "README.md").read_text()
    for local in (tiny_llama.parent, Path(torch.__file__).parents[1], ROOT):
        assert not any(str(local).encode() in path.read_bytes() for path in folder.iterdir())


def test_the_cards_own_lines_answer_as_transformers_does(released, capsys):
    """Run in the published folder: a prompt, then token by token from the cache."""
    folder = Path(released.folder("onnx"))
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    with chdir(folder):
        exec(compile(code, "card", "exec"), {})
    assert capsys.readouterr().out.strip() == _greedy(Path(released.folder("merged")), "Hello!").strip()


def _greedy(folder: Path, question: str) -> str:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
    )
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    said = model.generate(ids, max_new_tokens=64, do_sample=False)[0, ids.shape[1] :]
    return tokenizer.decode(said, skip_special_tokens=True)


@pytest.fixture
def windowed(tiny_llama, tmp_path) -> Path:
    """Two layers of random weights that see no more than eight tokens back, with the tiny model's tokenizer."""
    config = MistralConfig(
        vocab_size=49152,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=8,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    folder = tmp_path / "windowed"
    MistralForCausalLM(config).save_pretrained(folder)
    copy_tokenizer(tiny_llama, folder)
    return folder


@pytest.mark.slow
def test_a_file_beyond_its_caps_is_refused_with_every_figure(request_for, windowed):
    """Nothing is published, and the line has top-1, KL and the largest error; that a window was kept shows in them."""
    strict = request_for(formats=("onnx",), caps={ONNX: Cap(kl=1, top1=0, choice=0, error_max=1e-12)})
    request = strict.model_copy(update={"base": str(windowed), "adapter": None})
    with pytest.raises(ExportError, match=r"model.onnx is not the model it was made from") as error:
        release(request)
    figures = re.search(
        r"\(top-1 agreement 100.0%, KL \S+ nats a token, largest error of a log-probability ([\d.e-]+)\)",
        str(error.value),
    )
    assert 0 < float(figures[1]) < 1e-3
    assert "(at most 1e-12)" in str(error.value)
    assert "\n" not in str(error.value)
    assert list(releases_folder().iterdir()) == []


def test_a_model_that_changes_with_the_length_of_the_text_is_told_of():
    """Phi-3.5's factors switch at 4,096 tokens, and what was cached before keeps the first ones."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 4096}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    changing = Phi3Config(hidden_size=32, num_attention_heads=4, pad_token_id=0, rope_parameters=rope)
    assert length_warnings(changing)[0].startswith(
        "a text that grows beyond 4096 tokens has to be read again"
    )
    assert length_warnings(MistralConfig()) == ()


def test_one_changed_weight_is_refused_with_both_figures(copied, verdict):
    """One of three million, in the file and nowhere else: the line has top-1 agreement and the largest error."""
    weights = _initializer(copied, lambda tensor: list(tensor.dims) == [64, 128])
    weights[10, 10] += 0.5
    weights.flush()
    row = verdict(copied)
    assert row.status is ReleaseCheck.FAILED
    assert row.error_max > 1e-3
    figures = r"top-1 agreement [\d.]+%, KL \S+ nats a token, largest error of a log-probability [\d.]+"
    with pytest.raises(ExportError, match=figures):
        require_agreement("tiny", (row,))


def _initializer(folder: Path, is_it) -> np.memmap:
    """The first weight of a graph for which `is_it` holds, in its file."""
    graph = onnx.load(folder / MODEL, load_external_data=False).graph
    tensor = next(tensor for tensor in graph.initializer if is_it(tensor))
    place = {entry.key: entry.value for entry in tensor.external_data}
    assert place["location"] == DATA
    shape = tuple(tensor.dims)
    return np.memmap(folder / DATA, dtype=np.float32, mode="r+", offset=int(place["offset"]), shape=shape)


def test_padding_that_is_attended_to_is_found(copied, verdict):
    """A graph that takes a mask of ones for whatever mask it gets reads single prompts right, and batches wrong."""
    model = onnx.load(copied / MODEL, load_external_data=False)
    ones = onnx.helper.make_node("Mul", ["attention_mask", "no_mask"], ["zero"])
    full = onnx.helper.make_node("Add", ["zero", "one"], ["every_token"])
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[place] = "every_token"
    for name, value in (("no_mask", 0), ("one", 1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, dtype=np.int64), name))
    model.graph.node.insert(0, full)
    model.graph.node.insert(0, ones)
    onnx.save(model, copied / MODEL)
    row = verdict(copied)
    assert row.status is ReleaseCheck.FAILED
    assert row.reason.startswith("in a padded batch a log-probability is off by")
    assert row.error_max < 1e-3


def test_weights_lie_beside_the_graph_and_axes_have_names(released):
    """So there is no size at which a model stops fitting: what is bound to 2 GB holds no weight at all."""
    folder = Path(released.folder("onnx"))
    model = onnx.load(folder / MODEL, load_external_data=False)
    large = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) > 64]
    assert large
    assert all(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in large)
    assert (folder / MODEL).stat().st_size < 200_000
    assert (folder / DATA).stat().st_size == pytest.approx(4 * released.parameters, rel=1e-3)
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert axes["input_ids"] == ["batch", "sequence"]
    assert axes["past_key_values.1.value"] == ["batch", 1, "past", 32]
    assert axes["present.1.value"] == ["batch", 1, "past + sequence", 32]
    assert axes["logits"] == ["batch", "sequence", 49152]


@pytest.mark.parametrize("damage", ["weights cut short", "weights gone", "no graph"])
def test_a_damaged_file_is_one_clear_line(copied, verdict, damage):
    """Found when onnxruntime loads it, before anything is compared."""
    if damage == "weights gone":
        (copied / DATA).unlink()
    else:
        file = copied / (DATA if damage == "weights cut short" else MODEL)
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(
        ExportError, match=r"onnxruntime can't load .*model.onnx .*: export it again"
    ) as error:
        verdict(copied)
    assert "\n" not in str(error.value)


def test_without_onnxruntime_a_release_is_not_verified(request_for, monkeypatch):
    """The other formats are published, and the reason names the command that helps; alone, ONNX leaves no folder."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    made = release(request_for(formats=("merged", "onnx")))
    assert made.check is ReleaseCheck.NOT_VERIFIED
    assert made.reason.startswith("onnxruntime is not installed: run `pip install")
    assert [row.format for row in made.published] == ["merged"]
    alone = release(request_for(formats=("onnx",)))
    assert (alone.check, alone.published) == (ReleaseCheck.NOT_VERIFIED, ())
    assert "onnxruntime is not installed" in alone.reason


@pytest.mark.slow
def test_what_stops_the_exporter_is_told_in_one_line(tmp_path):
    """The exporter is a process of its own: its errors are ours here, of the same kind."""
    with pytest.raises(ModelError, match=r"can't be loaded as a language model") as error:
        write_onnx(tmp_path, tmp_path / "target")
    assert "\n" not in str(error.value)
