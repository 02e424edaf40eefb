"""An adapter on the tiny Llama that the converter knows, and prompts to replay."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

from core.exporting.config import CardFacts, ReleaseRequest, ReleaseSettings, ReplayPrompt


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_adapter(tiny_llama, tmp_path_factory) -> Path:
    """A LoRA that changes what the model says; its config names a folder of this machine, as PEFT writes it."""
    return _write_lora(tiny_llama, tmp_path_factory.mktemp("tiny") / "adapter")


@pytest.fixture
def write_lora() -> Callable[..., Path]:
    """Call it to write a random LoRA for a model."""
    return _write_lora


def _write_lora(base: Path, folder: Path, scale: float = 0.05) -> Path:
    """A random LoRA on every linear layer of a model."""
    torch.manual_seed(1)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=scale)
    adapted.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def replay_prompts() -> Callable[[int], tuple[ReplayPrompt, ...]]:
    """Call it for prompts to replay."""
    return _replay_prompts


def _replay_prompts(count: int) -> tuple[ReplayPrompt, ...]:
    """Choices among three letters, each prompt a little different."""
    texts = (
        f"<|im_start|>user\nRound {n}: A runs {n * 7}, B throws {n * 5}, C kicks. Pick:<|im_end|>\n"
        for n in range(count)
    )
    return tuple(ReplayPrompt(prompt=text, completions=(" A", " B", " C")) for text in texts)


@pytest.fixture
def request_for(home, make_request):
    """Call it for a release request of the tiny model, with settings changed by name, in a data folder of its own."""
    return make_request


@pytest.fixture(scope="session")
def make_request(tiny_llama, tiny_adapter) -> Callable[..., ReleaseRequest]:
    """`request_for`, where the data folder is the caller's."""

    def make(**settings) -> ReleaseRequest:
        facts = CardFacts(
            base_model=str(tiny_llama),
            license="apache-2.0",
            summary="A test.",
            method="SFT",
            data={"train": "ab12"},
        )
        return ReleaseRequest(
            name="tiny",
            base=str(tiny_llama),
            adapter=str(tiny_adapter),
            prompts=_replay_prompts(8),
            facts=facts,
            settings=ReleaseSettings(**{"token_positions": 100, **settings}),
        )

    return make
