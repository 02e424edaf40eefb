"""The policy that chooses among letters."""

from pathlib import Path

import numpy as np
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


def test_greedy_takes_the_most_probable_and_says_how_sure_it_was(policy):
    """Confidence is its probability; one legal answer has probability 1 and no entropy."""
    chosen = policy.choose(PROMPTS, LEGAL)
    for choice, legal, probabilities in zip(chosen, LEGAL, policy.probabilities(PROMPTS, LEGAL), strict=True):
        assert choice.index == probabilities.argmax()
        assert choice.completion == legal[choice.index]
        assert choice.confidence == pytest.approx(probabilities.max())
        assert choice.entropy == pytest.approx(-(probabilities * np.log(probabilities)).sum(), abs=1e-9)
    assert (chosen[2].confidence, chosen[2].entropy) == (1.0, 0.0)


def test_draws_follow_the_probabilities_and_the_seed(policy):
    """400 draws of one prompt: within five standard errors, and the same again with the same seed."""
    prompts, legal = [PROMPTS[0]] * 400, [LEGAL[0]] * 400
    drawn = [choice.index for choice in policy.choose(prompts, legal, greedy=False, seed=1)]
    first = policy.probabilities(PROMPTS[:1], LEGAL[:1])[0][0]
    assert abs(drawn.count(0) / 400 - first) < 5 * (first * (1 - first) / 400) ** 0.5
    assert drawn == [choice.index for choice in policy.choose(prompts, legal, greedy=False, seed=1)]
    assert drawn != [choice.index for choice in policy.choose(prompts, legal, greedy=False, seed=2)]


def test_no_prompts_give_no_choices(policy):
    """An empty batch is fine."""
    assert policy.choose([], []) == []


def test_what_can_not_be_chosen_is_refused(policy):
    """Several tokens, no legal answer, and a prompt beyond the context each give one clear line."""
    with pytest.raises(ModelError, match="2 tokens"):
        policy.choose(["Pick:"], [[" A", " BC"]])
    with pytest.raises(DataError, match="without a legal answer"):
        policy.choose(["Pick:"], [[]])
    with pytest.raises(DataError, match="longer than the model's context of 1024"):
        policy.choose(["x" * 2000], [[" A"]])


def test_the_type_of_the_weights_is_timed_on_a_cpu_and_said(tiny):
    """'auto' gives one of both with both rates; a wish is followed; an accelerator gets bf16."""
    config, cpu = model_config(str(tiny)), torch.device("cpu")
    chosen = choose_dtype(config, "auto", cpu)
    assert chosen.dtype in ("bf16", "fp32")
    assert "in bf16 and" in chosen.reason
    assert choose_dtype(config, "fp32", cpu).dtype == "fp32"
    assert choose_dtype(config, "auto", torch.device("cuda")).dtype == "bf16"
