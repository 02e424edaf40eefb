"""What a run needs in memory: said, and refused before it starts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from core.checkpoint import Checkpoint
from core.errors import ModelError
from core.language.config import model_config
from core.language.group import group_logprobs
from core.language.model import load_model
from core.language.row import TokenGroup
from core.training.adapter import compute_in_model_type, new_adapter
from core.training.config import AdapterSettings, DpoSettings, GrpoSettings, SftSettings
from core.training.data import TrainingGroup
from core.training.memory import Memory, empty_model, largest_pass
from core.training.worker import train_here

CPU = torch.device("cpu")


def group(prompt: int, completions: int, length: int) -> TrainingGroup:
    tokens = tuple(tuple(range(place, place + length)) for place in range(completions))
    return TrainingGroup(
        "g", TokenGroup(tuple(value % 250 for value in range(prompt)), tokens), rewards=(0.0,) * completions
    )


def memory(folder, settings, dtype="fp32", room=10**12, **rest) -> Memory:
    model = empty_model(folder, model_config(str(folder)), AdapterSettings(), dtype)
    return Memory(model, settings, CPU, room, **rest)


def grown(tiny: Path, folder: Path, **changes) -> Path:
    """The tiny model's folder with another config: its weights are not those of it."""
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("trainer", ["group", "trl", "mlx"])
def test_a_model_that_can_not_fit_is_refused_before_its_weights_are_read(
    tiny, choices, spec_of, tmp_path, trainer
):
    """A config of 200 billion weights over a file that holds none of them: one line with both figures."""
    huge = grown(
        tiny,
        tmp_path / "huge",
        hidden_size=16384,
        intermediate_size=53248,
        num_hidden_layers=60,
        num_attention_heads=128,
    )
    (huge / "model.safetensors").write_bytes(b"never read")
    asked = spec_of(huge, choices, tmp_path / "run", SftSettings(trainer=trainer))
    with pytest.raises(
        ModelError, match=r"^this model's weights, adapter and optimizer need \d{3,}\.\d GB of memory, and"
    ):
        train_here(asked)


def test_rows_that_can_not_fit_are_refused_with_what_would(tiny):
    """The first change that makes it fit is named with its value; weights and optimizer count too."""
    needed = memory(tiny, DpoSettings(batch_size=8))
    groups = [group(400, 4, 50)] * 8
    weights, passes = needed.weights(), needed.passes(needed.settings, groups)
    for share, words in (
        (2.9, r"are free: set gradient_accumulation_steps to 4$"),
        (10, r"set gradient_accumulation_steps to \d and gradient_checkpointing to true$"),
        (1000, r"not even one group at a time would fit$"),
    ):
        with pytest.raises(ModelError, match=words):
            replace(needed, room=weights + int(passes / share)).need_room_for_passes(groups)
    needed = replace(needed, room=weights + passes)
    assert needed.need_room_for_passes(groups)
    with pytest.raises(ModelError, match=r"set gradient_accumulation_steps to 2$"):
        replace(needed, room=weights + passes - 1).need_room_for_passes(groups)


def test_trl_makes_no_tables_of_logits(tiny):
    """It goes over the head a few tokens at a time: what it does not need is no reason to refuse."""
    groups, tokens = [group(40, 2, 30)], 2 * 30 - 2 + 1
    ours, theirs = (
        memory(tiny, settings).passes(settings, groups)
        for settings in (DpoSettings(), DpoSettings(trainer="trl"))
    )
    assert ours - theirs == 3 * 4 * tokens * AutoConfig.from_pretrained(tiny).vocab_size


def test_four_bits_are_named_where_they_would_do(tiny):
    """And only there."""
    needed = memory(tiny, SftSettings())
    packed = replace(needed, quantization="nf4").weights()
    with pytest.raises(
        ModelError, match=r"take a smaller model, set quantization to nf4 or a larger machine$"
    ):
        replace(needed, room=packed).need_room_for_weights()
    with pytest.raises(ModelError, match=r"take a smaller model or a larger machine$"):
        replace(needed, room=packed - 1).need_room_for_weights()


def test_what_fits_is_said(tiny):
    """With the tokens of the largest pass."""
    said = memory(tiny, SftSettings(batch_size=2)).need_room_for_passes([group(100, 1, 11), group(50, 1, 11)])
    assert said.startswith("at least 0.0 GB of memory for passes of up to 170 tokens, of ")


def test_the_largest_pass_holds_the_largest_groups():
    """By hand: two of three groups of prompt + completions without their last tokens; or what may be drawn."""
    groups = [group(10, 2, 5), group(30, 1, 6), group(4, 1, 2)]
    assert largest_pass(DpoSettings(batch_size=4, gradient_accumulation_steps=2), groups) == (18 + 35, 9 + 6)
    online = GrpoSettings(
        estimator="online", group_size=4, batch_size=1, online={"sampling": {"max_tokens": 20}}
    )
    assert largest_pass(online, groups) == (30 + 80, 80)


def test_weights_are_counted_by_their_type(tiny):
    """Float32, half of it in bf16, and an eighth of the linear layers in 4 bits; the adapter is the same in all."""
    config = AutoConfig.from_pretrained(tiny)
    full, half = (memory(tiny, SftSettings(), dtype).weights() for dtype in ("fp32", "bf16"))
    packed = memory(tiny, SftSettings(), quantization="nf4").weights()
    trained = full - 2 * (full - half)
    width, inner = config.hidden_size, config.intermediate_size
    linear = config.num_hidden_layers * (2 * width * width + 2 * width * width // 2 + 3 * width * inner)
    assert full - packed == linear * 3.5
    assert trained == 16 * sum(
        value.numel() for value in memory(tiny, SftSettings()).model.parameters() if value.requires_grad
    )


def test_the_estimate_is_what_a_real_pass_keeps(tiny):
    """With the real attention over a row: not above the bytes that autograd keeps, and not far below."""
    torch.manual_seed(0)
    model = new_adapter(
        load_model(model_config(str(tiny)), "fp32", CPU).model, AdapterSettings(), model_config(str(tiny))
    )
    compute_in_model_type(model)
    own = {value.untyped_storage().data_ptr() for value in model.parameters()}
    one, kept, alive = group(300, 8, 20), {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        alive.append(tensor)
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        group_logprobs(model.train(), [one.tokens]).sum().backward()
    estimated = memory(tiny, SftSettings(batch_size=1))
    ratio = estimated.passes(estimated.settings, [one]) / sum(kept.values())
    assert 0.7 < ratio < 1.05


def test_what_is_wrong_with_the_adapter_is_not_blamed_on_the_model(tiny):
    """Too many layers: the line of the setting alone."""
    config = model_config(str(tiny))
    with pytest.raises(ModelError, match=r"^adapter\.top_layers 99 is more than the 2 of "):
        empty_model(tiny, config, AdapterSettings(top_layers=99), "fp32")


def test_a_run_that_goes_on_from_an_adapter_is_judged_by_that_ones_shape(tiny, tmp_path):
    """Whatever the settings say of new ones; one of another model is refused."""
    config, wide = model_config(str(tiny)), AdapterSettings(r=32, top_layers=1)
    new_adapter(load_model(config, "fp32", CPU).model, wide, config).save_pretrained(tmp_path / "start")
    start = Checkpoint(
        kind="adapter", path=str(tmp_path / "start"), sha256="", base_model=config.name, method="sft"
    )
    asked = AdapterSettings(r=2, top_layers=99)
    judged = Memory(empty_model(tiny, config, asked, "fp32", start), SftSettings(), CPU, 0).weights()
    assert judged == Memory(empty_model(tiny, config, wide, "fp32"), SftSettings(), CPU, 0).weights()
    with pytest.raises(ModelError, match=r"is an adapter of 'other'"):
        empty_model(tiny, config, asked, "fp32", start.model_copy(update={"base_model": "other"}))
