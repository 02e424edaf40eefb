"""The policy that chooses among letters."""

from pathlib import Path

import pytest
import torch

from core.errors import DataError, ModelError
from core.language.choice import ChoicePolicy
from core.language.config import model_config
from core.language.dtype import choose_dtype
from core.language.model import base_checkpoint, load_model
from core.language.testing import tiny_language_model
from core.language.tokens import letter_token, prompt_tokens

PROMPTS = ["A 1\nB 2\nPick:", "Another, longer prompt with three answers. Pick:", "C:"]
LEGAL = [[" A", " B"], [" A", " C", " D"], [" C"]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return tiny_language_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def policy(tiny) -> ChoicePolicy:
    return ChoicePolicy(base_checkpoint(str(tiny)), dtype="fp32", row_tokens=40)


def test_probabilities_are_a_softmax_over_the_legal_letters(policy, tiny):
    """Each equals the model's own next-token logits after its prompt, restricted to the legal letters."""
    loaded = load_model(model_config(str(tiny)))
    for prompt, legal, found in zip(PROMPTS, LEGAL, policy.probabilities(PROMPTS, LEGAL), strict=True):
        with torch.no_grad():
            logits = loaded.model(torch.tensor([prompt_tokens(loaded.tokenizer, prompt)])).logits[0, -1]
        letters = torch.tensor([letter_token(loaded.tokenizer, answer) for answer in legal])
        assert found == pytest.approx(logits[letters].softmax(0).numpy(), abs=1e-5)


def test_one_legal_answer_is_certain_and_no_prompts_give_nothing(policy):
    """The last prompt has one answer; an empty batch is fine."""
    assert policy.probabilities(PROMPTS, LEGAL)[2].tolist() == [1.0]
    assert policy.probabilities([], []) == []


def test_what_can_not_be_chosen_is_refused(policy):
    """Several tokens, no legal answer, and a prompt beyond the context each give one clear line."""
    with pytest.raises(ModelError, match="2 tokens"):
        policy.probabilities(["Pick:"], [[" A", " BC"]])
    with pytest.raises(DataError, match="without a legal answer"):
        policy.probabilities(["Pick:"], [[]])
    with pytest.raises(DataError, match="longer than the model's context of 1024"):
        policy.probabilities(["x" * 2000], [[" A"]])


def test_the_type_of_the_weights_is_timed_on_a_cpu_and_said(tiny):
    """'auto' gives one of both with both rates; a wish is followed; an accelerator gets bf16."""
    config, cpu = model_config(str(tiny)), torch.device("cpu")
    chosen = choose_dtype(config, "auto", cpu)
    assert chosen.dtype in ("bf16", "fp32")
    assert "in bf16 and" in chosen.reason
    assert choose_dtype(config, "fp32", cpu).dtype == "fp32"
    assert choose_dtype(config, "auto", torch.device("mps")).dtype == "bf16"
