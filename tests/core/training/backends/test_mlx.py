"""`trainer: mlx` on MLX's own CPU backend and a tiny model: the same settings in, the same artifacts out."""

import json
import random
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.dataset import Snapshot, write_snapshot
from core.errors import DataError, DivergedError, ModelError
from core.language.config import ModelConfig
from core.language.group import plain_logprobs
from core.language.model import base_checkpoint, load_checkpoint
from core.language.model import load_weights as torch_weights
from core.language.model import put_adapter as put_on_torch
from core.language.row import TokenGroup
from core.training.backends.mlx_model import completion_logprobs, load_weights, new_adapter, put_adapter
from core.training.backends.mlx_policy import MlxPolicy
from core.training.backends.mlx_trainer import MlxTrainer
from core.training.config import AdapterSettings
from core.training.progress import read_progress
from core.training.worker import train_here

WORDS = ["red", "blue", "green", "grey"]
GROUPS = [TokenGroup((5, 9, 200, 31), ((77, 8, 3), (12,))), TokenGroup((40, 41), ((42, 43),))]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Rows of one written answer: the word that stands first in the prompt."""
    stream = random.Random(0)
    rows = []
    for split, count in (("train", 14), ("test", 5)):
        for index in range(count):
            words = stream.sample(WORDS, stream.randint(2, 4))
            rows.append(
                {
                    "id": f"{split}-{index}",
                    "prompt": f"{' '.join(words)}: first is",
                    "completions": [f" {words[0]}<|im_end|>"],
                    "split": split,
                }
            )
    return write_snapshot(tmp_path_factory.mktemp("answers") / "snapshot", "sft", rows)


@pytest.fixture
def spec_of_mlx(tmp_path, tiny, answers, spec_of, settings_of):
    def of(
        name: str = "run", *, adapter: AdapterSettings | None = None, start=None, snapshot=None, **changes
    ):
        settings = settings_of["sft"](**({"trainer": "mlx"} | changes))
        adapter = adapter or AdapterSettings(r=4, alpha=8)
        return spec_of(tiny, snapshot or answers, tmp_path / name, settings, adapter=adapter, start=start)

    return of


def curve(folder: str | Path, phase: str, name: str = "loss") -> list[float]:
    return [line.metrics[name] for line in read_progress(Path(folder)) if line.phase == phase]


def test_the_same_run_in_torch_and_in_mlx(tmp_path, tiny, answers, spec_of_mlx):
    """From the same adapter without dropout: the same losses, gradient norms and held-out losses, step by step."""
    first = train_here(spec_of_mlx("first", epochs=1, max_steps=1))
    here = train_here(spec_of_mlx("mlx", start=first))
    there = train_here(spec_of_mlx("group", start=first, trainer="group"))
    for phase, name in (("train", "loss"), ("train", "grad_norm"), ("eval", "loss")):
        expected = curve(tmp_path / "group", phase, name)
        assert curve(tmp_path / "mlx", phase, name) == pytest.approx(expected, rel=2e-3), (phase, name)
    assert here.notes["best_step"] == there.notes["best_step"]
    assert here.metrics["loss"] == pytest.approx(there.metrics["loss"], rel=2e-3)


def test_training_gives_a_peft_adapter_that_evaluation_loads(tiny, answers, spec_of_mlx):
    """The held-out loss falls; the checkpoint is an adapter like any other, and its record says how far MLX is."""
    dropout = AdapterSettings(r=4, alpha=8, dropout=0.1)
    checkpoint = train_here(spec_of_mlx(adapter=dropout, quantization="auto"))
    assert checkpoint.metrics["loss"] < checkpoint.metrics["start_loss"]
    assert (checkpoint.kind, checkpoint.method, checkpoint.parents) == ("adapter", "sft", (answers.sha256,))
    saved = json.loads((Path(checkpoint.path) / "adapter_config.json").read_text())
    assert (saved["r"], saved["lora_alpha"], saved["lora_dropout"]) == (4, 8, 0.1)
    assert saved["base_model_name_or_path"] == "model"
    said = " | ".join(checkpoint.notes["said"])
    for words in ("answers in torch as in MLX", "mlx-lm does not go back", "full base weights: mlx-lm"):
        assert words in said
    assert checkpoint.notes["quantization"] == "none"
    assert load_checkpoint(checkpoint).model.config.model_type == "llama"


def test_memory_can_be_saved_and_the_course_stays(tmp_path, spec_of_mlx):
    """Two or four passes a step, a last step of two rows, layers computed again: the same losses."""
    changes = {
        "whole": {},
        "halved": {"gradient_accumulation_steps": 2},
        "quartered": {"gradient_accumulation_steps": 4, "gradient_checkpointing": True},
    }
    for name, change in changes.items():
        train_here(spec_of_mlx(name, epochs=1, **change))
    courses = [curve(tmp_path / name, "train") for name in changes]
    assert len(courses[0]) == 4
    assert courses[1] == pytest.approx(courses[0], rel=1e-4)
    assert courses[2] == pytest.approx(courses[0], rel=1e-4)


class Killed(BaseException):
    """What ends a run in these tests, as a signal would."""


@pytest.mark.parametrize("at", [2, 7])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, spec_of_mlx, monkeypatch, at):
    """Saved every 3 steps and looked at every 4, with dropout: ended at any step, the weights are the same."""
    dropout = AdapterSettings(r=4, alpha=8, dropout=0.2)
    whole = train_here(spec_of_mlx("whole", adapter=dropout))
    spec, told = spec_of_mlx("killed", adapter=dropout), MlxTrainer.told

    def end(self, step, figures):
        told(self, step, figures)
        if step == at:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MlxTrainer, "told", end)
        with pytest.raises(Killed):
            train_here(spec)
    resumed = train_here(spec)
    assert resumed.sha256 == whole.sha256
    assert resumed.metrics == whole.metrics
    assert curve(tmp_path / "killed", "train") == curve(tmp_path / "whole", "train")
    assert not (tmp_path / "killed" / "checkpoints").exists()


def test_only_the_top_layers_are_trained_and_go_on(spec_of_mlx):
    """top_layers 1 of 2 leaves the first layer without adapter; a later stage keeps that shape."""
    first = train_here(spec_of_mlx("one", adapter=AdapterSettings(r=4, top_layers=1), epochs=1))
    again = train_here(spec_of_mlx("two", start=first, epochs=1))
    for checkpoint in (first, again):
        names = load_file(Path(checkpoint.path) / "adapter_model.safetensors")
        assert {name.split("layers.")[1][0] for name in names} == {"1"}
    assert again.metrics["start_loss"] == pytest.approx(first.metrics["loss"], abs=1e-6)


@pytest.mark.parametrize("top_layers", [None, 1])
def test_an_adapter_answers_the_same_in_both_libraries(tmp_path, tiny, top_layers):
    """Log-probabilities in torch and in MLX, with an adapter of random weights that was made in MLX and came back."""
    config = ModelConfig(name="tiny", source=str(tiny), context_length=64)
    mx.random.seed(0)
    made = new_adapter(
        load_weights(tiny, "fp32"), AdapterSettings(r=4, alpha=12, top_layers=top_layers), config
    )
    plain = completion_logprobs(made.model, GROUPS)
    made.model.apply_to_modules(
        lambda _, module: (
            module.update({"lora_b": 0.2 * mx.random.normal(module.lora_b.shape)})
            if "lora_b" in module
            else None
        )
    )
    here = completion_logprobs(made.model, GROUPS)
    made.save(tmp_path / "adapter")
    adapted = put_on_torch(torch_weights(tiny), tmp_path / "adapter")
    with torch.no_grad():
        there = torch.cat([plain_logprobs(adapted, group) for group in GROUPS]).tolist()
    back = completion_logprobs(put_adapter(load_weights(tiny, "fp32"), tmp_path / "adapter").model, GROUPS)
    assert np.abs(np.subtract(plain, here)).max() > 0.1
    assert there == pytest.approx(here, abs=1e-5)
    assert back == here


def test_a_checkpoint_writes_in_mlx_what_it_writes_in_torch(spec_of_mlx):
    """Greedy answers of a batch of prompts: the likeliest token each time, as torch has it, until the stop token."""
    checkpoint = train_here(spec_of_mlx(epochs=12))
    prompts = ["red blue: first is", "grey green red: first is", "x"]
    written = MlxPolicy(checkpoint).write(prompts, max_tokens=8)
    loaded = load_checkpoint(checkpoint)
    for prompt, answer in zip(prompts, written, strict=True):
        ids = loaded.tokenizer(prompt, return_tensors="pt").to(loaded.model.device)
        expected = loaded.model.generate(**ids, max_new_tokens=8, do_sample=False)[
            0, ids.input_ids.shape[1] :
        ]
        tokens = [token for token in expected.tolist() if token != loaded.tokenizer.eos_token_id]
        assert list(answer.tokens) == tokens
        assert answer.finished == (len(tokens) < 8)
        group = TokenGroup(tuple(ids.input_ids[0].tolist()), (answer.tokens,))
        with torch.no_grad():
            logprobs = plain_logprobs(loaded.model, group).tolist()
        assert answer.logprobs == pytest.approx(logprobs, abs=1e-4)
    assert written[0].finished


def test_sampled_answers_depend_on_the_seed_alone(tiny):
    """The untrained model: the same seed draws the same, another seed something else."""
    policy = MlxPolicy(base_checkpoint(str(tiny)))
    draws = [
        [answer.text for answer in policy.write(["one", "two"], max_tokens=6, temperature=1.0, seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]
    with pytest.raises(DataError, match=r"leaves no room for 1024"):
        policy.write(["one"], max_tokens=1024)


def test_choices_among_answers_are_refused(choices, spec_of_mlx):
    """The message names the trainer that learns them."""
    with pytest.raises(DataError, match=r"choices among several answers.* leave sft.trainer at 'group'"):
        train_here(spec_of_mlx(snapshot=choices))


def test_a_loss_that_is_no_number_ends_the_run_in_one_line(spec_of_mlx):
    """The step, the rate to lower, and where the best adapter so far lies."""
    with pytest.raises(
        DivergedError, match=r"at step \d+ of sft .* lower learning_rate .*; the checkpoint of step"
    ):
        train_here(spec_of_mlx(learning_rate=1e30, max_grad_norm=1e30, epochs=4))


def test_what_mlx_cannot_load_is_named(tmp_path, tiny):
    """An architecture that mlx-lm does not know."""
    config = json.loads((tiny / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "gpt_unknown"}))
    (tmp_path / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"can't be loaded by mlx-lm .*leave trainer at 'group'"):
        load_weights(tmp_path, "fp32")
