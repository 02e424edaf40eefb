"""The group primitive against the plain computation, architecture by architecture."""

import random

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from core.language.config import ModelConfig
from core.language.group import group_logprobs, plain_logprobs, shared_logprobs
from core.language.row import TokenGroup, lay_out, slices
from core.language.sharing import CHECKED, sharing
from core.training.adapter import compute_in_model_type, new_adapter
from core.training.config import AdapterSettings

torch.set_num_threads(1)
_STREAM = random.Random(0)


def words(count: int) -> tuple[int, ...]:
    return tuple(_STREAM.randrange(3, 97) for _ in range(count))


GROUPS = [
    TokenGroup(words(9), (words(1), words(1), words(1))),
    TokenGroup(words(12), (words(3), words(1), words(5))),
    TokenGroup(words(5), (words(4),)),
]


def make(kind: str, **changes):
    sizes = {
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
    if kind == "phi3":
        sizes |= {"sliding_window": None}
    if kind == "granite":
        sizes |= {"logits_scaling": 3.0, "attention_multiplier": 0.2, "embedding_multiplier": 2.0}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(sizes | changes)))
    for parameter in model.parameters():
        parameter.data *= 4 if parameter.dim() > 1 else 1
    return model


def gradients(model, logprobs: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    (logprobs * torch.linspace(-1, 1, len(logprobs))).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def assert_equal(model) -> None:
    plain = torch.cat([plain_logprobs(model, group) for group in GROUPS])
    expected = gradients(model, plain)
    shared = shared_logprobs(model, GROUPS)
    assert torch.allclose(plain, shared, atol=1e-5)
    assert (gradients(model, shared) - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("kind", sorted(CHECKED))
def test_sharing_the_prompt_changes_neither_value_nor_gradient(kind):
    """Every architecture that is said to share gives the plain computation's numbers in fp32."""
    model = make(kind)
    assert sharing(model.config, 17).shared
    assert_equal(model)


def test_the_plain_computation_is_the_models_own():
    """A completion's log-probabilities are those that the model itself gives to prompt + completion."""
    model, group = make("llama"), GROUPS[1]
    logprobs = plain_logprobs(model, group).split([3, 1, 5])
    for completion, found in zip(group.completions, logprobs, strict=True):
        tokens = torch.tensor([group.prompt + completion])
        everything = model(tokens).logits.log_softmax(-1)[0, len(group.prompt) - 1 : -1]
        expected = everything.gather(-1, torch.tensor(completion)[:, None])[:, 0]
        assert torch.allclose(expected, found, atol=1e-5)


def test_single_letters_cost_exactly_the_prompt():
    """Eight answers of one token are read from the prompt's last position."""
    row = lay_out([TokenGroup(words(20), tuple(words(1) for _ in range(8)))])
    assert row.input_ids_T.shape == (20,)
    assert row.kept_K.tolist() == [19]
    assert row.predictor_N.tolist() == [0] * 8


def test_positions_start_again_after_the_prompt():
    """Prompt 0 1 2, then each completion (without its last token) from 3."""
    row = lay_out([TokenGroup((5, 6, 7), ((1, 2, 3), (4, 8)))])
    assert row.input_ids_T.tolist() == [5, 6, 7, 1, 2, 4]
    assert row.position_ids_T.tolist() == [0, 1, 2, 3, 4, 3]
    assert row.kept_K.tolist() == [2, 3, 4, 5]
    assert row.predictor_N.tolist() == [0, 1, 2, 0, 3]
    assert row.target_N.tolist() == [1, 2, 3, 4, 8]


def test_an_ordinary_call_is_not_changed():
    """After the primitive ran, the model answers as before."""
    model = make("llama")
    tokens = torch.tensor([words(10)])
    before = model(tokens).logits
    shared_logprobs(model, GROUPS)
    assert torch.equal(model(tokens).logits, before)


def test_adapters_and_gradient_checkpointing_work_with_it():
    """LoRA's gradients through checkpointed layers equal those of the plain computation."""
    config = ModelConfig(name="tiny", source="tiny", context_length=64)
    model = new_adapter(make("llama"), AdapterSettings(r=4), config)
    compute_in_model_type(model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.train()
    expected = gradients(model, torch.cat([plain_logprobs(model, group) for group in GROUPS]))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    found = gradients(model, group_logprobs(model, GROUPS))
    assert (found - expected).norm() < 1e-5 * expected.norm()


def test_a_window_shorter_than_the_row_falls_back():
    """Mistral with a window of 6 can't share rows of 17, says so, and is computed plainly."""
    model = make("mistral", sliding_window=6)
    way = sharing(model.config, 17)
    assert not way.shared
    assert "6 tokens" in way.reason
    plain = torch.cat([plain_logprobs(model, group) for group in GROUPS])
    assert torch.equal(group_logprobs(model, GROUPS), plain)
    assert sharing(model.config, 6).shared


def test_soft_capped_and_unknown_architectures_fall_back():
    """Gemma 2 caps its scores; what was never checked is not trusted."""
    for kind in ("gemma2", "starcoder2"):
        model = make(kind)
        assert not sharing(model.config, 10).shared
        assert torch.isfinite(group_logprobs(model, GROUPS)).all()


def test_longrope_falls_back_where_its_factors_change():
    """Phi-3.5's position factors switch at 4096 tokens; a row across that limit would mix them."""
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 16, "rope_theta": 1e4}
    config = AutoConfig.for_model("phi3", sliding_window=None)
    config.rope_parameters = rope
    assert sharing(config, 16).shared
    assert not sharing(config, 17).shared


def test_rows_hold_as_many_groups_as_the_limit_allows():
    """Groups of 9, 12 + 6 and 5 + 3 computed tokens, at most 20 together: the second stands alone."""
    assert [group.computed for group in GROUPS] == [9, 18, 8]
    assert list(slices(GROUPS, 20)) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert list(slices(GROUPS, 27)) == [slice(0, 2), slice(2, 3)]
    assert list(slices([], 20)) == []
