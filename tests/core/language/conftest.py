"""Tiny random models of every architecture, groups of random tokens, and the comparison with the plain computation."""

import random
from collections.abc import Callable, Sequence

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from core.language.config import ModelConfig
from core.language.group import plain_logprobs, shared_logprobs
from core.language.row import TokenGroup
from core.training.adapter import compute_in_model_type, new_adapter
from core.training.config import AdapterSettings

torch.set_num_threads(1)
SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OWN = {
    "phi3": {"sliding_window": None},
    "granite": {"logits_scaling": 3.0, "attention_multiplier": 0.2, "embedding_multiplier": 2.0},
    "smollm3": {"no_rope_layer_interval": 2},
}


@pytest.fixture(scope="session")
def make() -> Callable[..., PreTrainedModel]:
    """A model of random weights, large enough for attention to matter."""

    def of(kind: str, **changes) -> PreTrainedModel:
        config = AutoConfig.for_model(kind, **(SIZES | OWN.get(kind, {}) | changes))
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            parameter.data *= 4 if parameter.dim() > 1 else 1
        return model.train()

    return of


@pytest.fixture(scope="session")
def adapted() -> Callable[..., torch.nn.Module]:
    """The same with a LoRA adapter that does something."""

    def of(model: PreTrainedModel) -> torch.nn.Module:
        config = ModelConfig(name="tiny", source="tiny", context_length=64)
        peft = new_adapter(model, AdapterSettings(r=4), config)
        compute_in_model_type(peft)
        for name, parameter in peft.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        return peft.train()

    return of


@pytest.fixture(scope="session")
def gradients() -> Callable[..., torch.Tensor]:
    """All gradients of a weighted sum of log-probabilities."""

    def of(model: torch.nn.Module, logprobs_N: torch.Tensor) -> torch.Tensor:
        model.zero_grad()
        (logprobs_N * torch.linspace(-1, 1, len(logprobs_N))).sum().backward()
        return torch.cat([p.grad.flatten().float() for p in model.parameters() if p.grad is not None])

    return of


@pytest.fixture(scope="session")
def assert_plain(gradients) -> Callable[..., None]:
    """Sharing gives the plain computation's log-probabilities (largest difference) and gradients (relative L2)."""

    def of(
        model: torch.nn.Module, groups: Sequence[TokenGroup], at_most: float = 1e-5, gradient: float = 1e-5
    ) -> None:
        plain = torch.cat([plain_logprobs(model, group) for group in groups])
        expected = gradients(model, plain)
        shared = shared_logprobs(model, groups)
        assert (plain - shared).abs().max() <= at_most
        apart = (gradients(model, shared) - expected).norm() / expected.norm()
        assert apart <= gradient

    return of


@pytest.fixture(scope="session")
def tree_of() -> Callable[..., TokenGroup]:
    """A group whose completions branch up to four times, with equal ones and some that others begin with."""

    def of(seed: int, prompt: int = 9) -> TokenGroup:
        stream = random.Random(seed)

        def words(length: int) -> tuple[int, ...]:
            return tuple(stream.randrange(3, 97) for _ in range(length))

        def grow(above: tuple[int, ...], depth: int) -> list[tuple[int, ...]]:
            path = above + words(stream.choice([1, 1, 2, 5]))
            if depth == 4:
                return [path]
            return [leaf for _ in range(stream.choice([1, 2, 3])) for leaf in grow(path, depth + 1)]

        leaves = [leaf for _ in range(2) for leaf in grow((), 1)]
        leaves += [leaf[: stream.randint(1, len(leaf))] for leaf in leaves[:3]] + leaves[:1] + [words(1)]
        stream.shuffle(leaves)
        return TokenGroup(words(prompt), tuple(leaves))

    return of
