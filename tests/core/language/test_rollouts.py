"""Completions drawn from a policy: the right distribution, the same model afterwards, the same numbers in the ratio."""

import random

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from core.errors import ConfigError, DataError, ServiceError
from core.language.distribution import holds
from core.language.group import group_logprobs, plain_logprobs
from core.language.rollout import rollouts
from core.language.row import TokenGroup
from core.language.sampling import SamplingSettings, TorchRollouts, VllmRollouts, prompt_seed
from core.language.sharing import CHECKED, sharing
from core.language.source import rollout_source
from core.language.testing import tiny_language_model

SCHEMA = {
    "type": "object",
    "properties": {
        "act": {"enum": ["buy", "sell"]},
        "size": {"type": "integer", "minimum": 0, "maximum": 20},
    },
    "required": ["act", "size"],
    "additionalProperties": False,
}
PROMPTS = [
    tuple(random.Random(seed).randrange(3, 250) for _ in range(length))
    for seed, length in [(0, 9), (1, 14), (2, 5)]
]
SEEDS = [prompt_seed(0, 0, str(index)) for index in range(len(PROMPTS))]
CHOICES = [[(40,), (40, 41), (40, 42, 43), (44,)], [(50, 51), (50, 52), (53, 51)], [(60,), (61,)]]
KINDS = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "gemma3_text": {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "qwen3": {},
    "phi3": {},
}
WAYS = {
    "plain": (SamplingSettings(max_tokens=12), None),
    "warm": (SamplingSettings(max_tokens=12, temperature=1.7), None),
    "top_p": (SamplingSettings(max_tokens=12, temperature=0.8, top_p=0.7), None),
    "choice": (SamplingSettings(max_tokens=12, temperature=1.3), CHOICES),
    "json": (SamplingSettings(max_tokens=48, temperature=1.5, top_p=0.95, json_schema=SCHEMA), None),
}


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """Bytes and letters: 285 tokens."""
    return AutoTokenizer.from_pretrained(tiny_language_model(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="session")
def speaker(make, tokenizer):
    """A random model with the tokenizer's words, and a few more that nothing says."""

    def of(kind: str, **changes):
        words = {"vocab_size": 291, "eos_token_id": tokenizer.eos_token_id}
        return make(kind, **(KINDS.get(kind, {}) | words | changes))

    return of


def flat(rows) -> torch.Tensor:
    return torch.tensor([value for row in rows for logprobs in row.logprobs for value in logprobs])


def in_the_ratio(model, rows, temperature: float, masks: bool = True) -> torch.Tensor:
    """What training computes of the same tokens."""
    allowed = [row.allowed for row in rows] if masks else None
    return group_logprobs(
        model, [row.group for row in rows], temperature=temperature, allowed=allowed
    ).detach()


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_rollouts_logprobs_are_those_of_the_ratio(kind, way, speaker, tokenizer):
    """Tempered, truncated, chosen among answers or held to a schema: both sides renormalise over the same tokens."""
    model, (settings, choices) = speaker(kind), WAYS[way]
    rows = rollouts(model, tokenizer, PROMPTS, 6, settings, seeds=SEEDS, choices=choices)
    found = flat(rows)
    assert len(found) >= 18
    assert (found - in_the_ratio(model, rows, settings.temperature)).abs().max() < 1e-5
    if way != "plain":
        assert (found - in_the_ratio(model, rows, 1.0, masks=False)).abs().max() > 0.01
    if way in ("top_p", "choice", "json"):
        assert (found - in_the_ratio(model, rows, settings.temperature, masks=False)).abs().max() > 0.01


@pytest.mark.parametrize("kind", sorted(CHECKED))
def test_every_architecture_that_shares_decodes_what_it_would_read(kind, speaker, tokenizer):
    """Token by token over one copy of the prompt gives the plain computation's numbers of the whole text."""
    model, settings = speaker(kind), SamplingSettings(max_tokens=9)
    assert sharing(model.config, 23).shared
    rows = rollouts(model, tokenizer, PROMPTS, 4, settings, seeds=SEEDS)
    plain = torch.cat([plain_logprobs(model, row.group) for row in rows])
    assert (flat(rows) - plain).abs().max() < 1e-5


@pytest.mark.parametrize("window", [1, 2, 7, 12, 20])
def test_windows_count_positions_while_a_completion_grows(window, speaker, tokenizer):
    """Windows that leave the prompt behind on the way, and those that never do."""
    model = speaker("mistral", sliding_window=window)
    rows = rollouts(model, tokenizer, PROMPTS, 3, SamplingSettings(max_tokens=16), seeds=SEEDS)
    plain = torch.cat([plain_logprobs(model, row.group) for row in rows])
    assert (flat(rows) - plain).abs().max() < 1e-5


@pytest.mark.parametrize("way", ["plain", "top_p", "choice"])
@pytest.mark.parametrize("kind", ["gemma2", "starcoder2"])
def test_what_can_not_share_decodes_with_its_own_cache(kind, way, speaker, tokenizer):
    """Soft-capped and unknown architectures keep a cache a completion, and agree with the ratio all the same."""
    model, (settings, choices) = speaker(kind, sliding_window=6), WAYS[way]
    assert not sharing(model.config, 30).shared
    rows = rollouts(model, tokenizer, PROMPTS, 5, settings, seeds=SEEDS, choices=choices)
    assert (flat(rows) - in_the_ratio(model, rows, settings.temperature)).abs().max() < 1e-5


def test_completions_that_end_leave_the_batch(speaker, tokenizer):
    """The others go on, and nothing that was drawn before or after changes."""
    model = speaker("llama")
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] *= 10
    sizes = []
    hook = model.model.layers[0].mlp.register_forward_hook(
        lambda _, given, __: sizes.append(given[0].shape[0])
    )
    rows = rollouts(model, tokenizer, PROMPTS, 8, SamplingSettings(max_tokens=20), seeds=SEEDS)
    hook.remove()
    lengths = [len(completion) for row in rows for completion in row.completions]
    assert sizes[1:] == [sum(length > place for length in lengths) for place in range(1, max(lengths))]
    assert sizes[-1] < 24
    for row in rows:
        for completion, finished in zip(row.completions, row.finished, strict=True):
            assert finished == (completion[-1] == tokenizer.eos_token_id)
            assert tokenizer.eos_token_id not in completion[:-1]
            assert finished or len(completion) == 20
    assert (flat(rows) - in_the_ratio(model, rows, 1.0)).abs().max() < 1e-5


def test_draws_follow_the_distribution(speaker, tokenizer):
    """4,000 first tokens among four answers and the stop token: frequencies within four standard errors."""
    model, count = speaker("llama"), 4000
    (row,) = rollouts(
        model,
        tokenizer,
        PROMPTS[:1],
        count,
        SamplingSettings(max_tokens=2, temperature=2.0),
        seeds=SEEDS[:1],
        choices=[[(letter,) for letter in range(40, 45)]],
    )
    group = TokenGroup(PROMPTS[0], tuple((letter,) for letter in range(40, 45)))
    expected = (group_logprobs(model, [group]).detach() / 2).softmax(0)
    drawn = torch.tensor([completion[0] for completion in row.completions]) - 40
    share = torch.bincount(drawn, minlength=5) / count
    assert ((share - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt()).all()
    assert expected.max() < 0.9


def test_a_resumed_run_draws_the_same_whatever_else_is_drawn(speaker, tokenizer):
    """A prompt's completions depend on its own seed: not on its neighbours, nor on how many grow together."""
    model, settings = speaker("llama"), SamplingSettings(max_tokens=10)
    together = rollouts(model, tokenizer, PROMPTS, 4, settings, seeds=SEEDS)
    again = rollouts(model, tokenizer, PROMPTS, 4, settings, seeds=SEEDS)
    apart = rollouts(model, tokenizer, PROMPTS[::-1], 4, settings, seeds=SEEDS[::-1], batch=4)[::-1]
    assert [row.logprobs for row in together] == [row.logprobs for row in again]
    assert [row.completions for row in together] == [row.completions for row in apart]
    assert len(set(together[0].completions)) > 1
    other = rollouts(
        model, tokenizer, PROMPTS, 4, settings, seeds=[prompt_seed(0, 1, str(i)) for i in range(3)]
    )
    assert [row.completions for row in other] != [row.completions for row in together]


def test_an_adapter_is_merged_for_the_time_of_a_rollout(speaker, adapted, tokenizer, monkeypatch):
    """The very same tensors are back, dropout was off, modes and gradients are as before, and an exception changes nothing."""
    model = adapted(speaker("llama"))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.base_model.model.model.layers[1].eval()
    before = {name: (value, value.data_ptr(), value.clone()) for name, value in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    asked = {name: value.requires_grad for name, value in model.named_parameters()}
    computed = []  # at each call, whether the adapter is in the weights
    inner = model.base_model.model.model.layers[0].self_attn.q_proj
    inner.register_forward_hook(lambda layer, *_: computed.append(layer.merged))

    def unchanged() -> None:
        for name, value in model.named_parameters():
            same, place, content = before[name]
            assert value is same
            assert value.data_ptr() == place
            assert torch.equal(value, content)
        assert modes == {name: module.training for name, module in model.named_modules()}
        assert asked == {name: value.requires_grad for name, value in model.named_parameters()}
        assert not inner.merged

    rows = rollouts(model, tokenizer, PROMPTS, 4, SamplingSettings(max_tokens=8), seeds=SEEDS)
    assert computed
    assert all(computed)
    computed.clear()
    unchanged()
    model.eval()
    assert (flat(rows) - in_the_ratio(model, rows, 1.0)).abs().max() < 1e-5
    assert computed
    assert not any(computed)
    with model.disable_adapter():
        assert (flat(rows) - in_the_ratio(model, rows, 1.0)).abs().max() > 0.01
    for name, module in model.named_modules():
        module.training = modes[name]

    def broken(*_, **__):
        raise DataError("in the middle")

    monkeypatch.setattr("core.language.rollout.draw", broken)
    with pytest.raises(DataError, match="in the middle"):
        rollouts(model, tokenizer, PROMPTS, 4, SamplingSettings(max_tokens=8), seeds=SEEDS)
    unchanged()
    model.train()
    group_logprobs(model, [rows[0].group]).sum().backward()
    assert inner.lora_A["default"].weight.grad is not None


def test_choices_are_legal_and_whole(speaker, tokenizer):
    """Answers of one to three tokens; one that another begins with is ended by the stop token."""
    settings, choices = WAYS["choice"]
    rows = rollouts(speaker("llama"), tokenizer, PROMPTS, 32, settings, seeds=SEEDS, choices=choices)
    ended = {(40, tokenizer.eos_token_id), (40, 41), (40, 42, 43), (44,)}
    for row, answers in zip(rows, [ended, set(choices[1]), set(choices[2])], strict=True):
        assert set(row.completions) <= answers
        assert all(row.finished)
        for completion, allowed in zip(row.completions, row.allowed, strict=True):
            assert holds(allowed, completion).all()
    assert len(set(rows[0].completions)) > 2
    first = np.unpackbits(rows[0].allowed[0][0], bitorder="little")
    assert np.flatnonzero(first).tolist() == [40, 44]


def test_json_is_what_the_schema_accepts(speaker, tokenizer):
    """Random weights write only documents of the schema; what is cut says so."""
    settings, _ = WAYS["json"]
    rows = rollouts(speaker("llama"), tokenizer, PROMPTS, 6, settings, seeds=SEEDS)
    texts = [tokenizer.decode(completion) for row in rows for completion in row.completions]
    assert all(finished for row in rows for finished in row.finished)
    allowed = {f'{{"act": "{act}", "size": {size}}}' for act in ("buy", "sell") for size in range(21)}
    assert set(texts) <= allowed
    assert len(set(texts)) > 3
    cut = settings.model_copy(update={"max_tokens": 5})
    assert not any(rollouts(speaker("llama"), tokenizer, PROMPTS[:1], 4, cut, seeds=SEEDS[:1])[0].finished)


def test_stop_texts_end_a_completion_wherever_tokens_divide_them(speaker, tokenizer):
    """Made of several tokens, at the very beginning, or within one: the completion ends with the token that completes it."""
    model = speaker("llama")
    free = rollouts(
        model, tokenizer, PROMPTS, 32, SamplingSettings(max_tokens=12, temperature=6), seeds=SEEDS
    )
    texts = [[tokenizer.decode([t]) for t in c] for row in free for c in row.completions]
    whole = next(text for text in texts if len(text) > 6 and all(t.isascii() for t in text[:3]))
    for stop, tokens in (("".join(whole[:2]), 2), ("".join(whole[1:3]), 3), (whole[0], 1)):
        settings = SamplingSettings(max_tokens=12, temperature=6, stop=(stop,))
        rows = rollouts(model, tokenizer, PROMPTS, 32, settings, seeds=SEEDS)
        for before, row in zip(free, rows, strict=True):
            for long, short, done in zip(before.completions, row.completions, row.finished, strict=True):
                assert long[: len(short)] == short
                spoken = tokenizer.decode(short)
                ended = short[-1] == tokenizer.eos_token_id
                assert done == (ended or stop in spoken)
                assert stop not in tokenizer.decode(short[:-1])
        assert any(len(c) == tokens and stop in tokenizer.decode(c) for row in rows for c in row.completions)


def test_what_can_not_be_drawn_is_refused(speaker, tokenizer):
    """One clear line each, and nothing is drawn."""
    model = speaker("llama")

    def refused(kind, match, prompts=PROMPTS, choices=None, **settings) -> None:
        with pytest.raises(kind, match=match):
            rollouts(
                model,
                tokenizer,
                prompts,
                2,
                SamplingSettings(**settings),
                seeds=SEEDS[: len(prompts)],
                choices=choices,
            )

    refused(DataError, "may take 134 tokens and the model reads 128", max_tokens=120)
    refused(DataError, "without a token", prompts=[()], max_tokens=4)
    refused(DataError, "without a legal answer", choices=[[], [(1,)], [(1,)]], max_tokens=4)
    refused(DataError, "needs 4 tokens and max_tokens is 3", choices=[[(1, 2, 3, 4)]] * 3, max_tokens=3)
    refused(
        DataError, "a text of stop would cut one short", choices=[[(1, 2)]] * 3, max_tokens=3, stop=("a",)
    )
    refused(DataError, "beyond the model's 291", choices=[[(291,)]] * 3, max_tokens=3)
    refused(DataError, "not both", choices=[[(1,)]] * 3, max_tokens=3, json_schema=SCHEMA)
    refused(
        ConfigError, "json_schema can't be used: Invalid type", max_tokens=3, json_schema={"type": "text"}
    )
    for wrong in ({"temperature": 0}, {"top_p": 0}, {"top_p": 1.1}, {"max_tokens": 0}, {"stop": ("",)}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SamplingSettings(**wrong)


def test_a_token_outside_its_set_is_refused(speaker, tokenizer):
    """A mask that belongs to other tokens would give a ratio without meaning."""
    model, (settings, choices) = speaker("llama"), WAYS["choice"]
    rows = rollouts(model, tokenizer, PROMPTS, 2, settings, seeds=SEEDS, choices=choices)
    group = TokenGroup(rows[2].prompt, ((62,), (60,)))
    with pytest.raises(DataError, match="outside its allowed set"):
        group_logprobs(model, [group], allowed=[rows[2].allowed])


def test_longrope_is_refused_only_where_its_factors_change_on_the_way(speaker, tokenizer):
    """Before the limit prompts are shared, behind it each has its own cache, across it there is no right number."""
    rope = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
    }
    model = speaker("phi3", rope_parameters=rope, original_max_position_embeddings=16)
    long = [tuple(range(3, 21)), tuple(range(20, 40))]
    for prompts in (PROMPTS[2:], long):
        rows = rollouts(
            model, tokenizer, prompts, 3, SamplingSettings(max_tokens=8), seeds=SEEDS[: len(prompts)]
        )
        assert (flat(rows) - in_the_ratio(model, rows, 1.0)).abs().max() < 1e-5
    with pytest.raises(DataError, match="position factors"):
        rollouts(model, tokenizer, PROMPTS, 3, SamplingSettings(max_tokens=8), seeds=SEEDS)


def test_a_config_names_where_completions_come_from(speaker, tokenizer):
    """The model that is trained, or a server, which says at once what it can't do and is asked when something is drawn."""
    model, settings = speaker("llama"), SamplingSettings(max_tokens=4, top_p=0.9)
    own = rollout_source(TorchRollouts(), settings, model, tokenizer)(PROMPTS, 3, seeds=SEEDS)
    drawn = rollouts(model, tokenizer, PROMPTS, 3, settings, seeds=SEEDS)
    assert [row.completions for row in own] == [row.completions for row in drawn]
    nobody = VllmRollouts(backend="vllm", url="http://127.0.0.1:9/v1", model="m")
    with pytest.raises(ConfigError, match=r"has no sampling\.top_p"):
        rollout_source(nobody, settings, model, tokenizer)
    served = rollout_source(nobody, SamplingSettings(), model, tokenizer)
    with pytest.raises(ServiceError, match="no vLLM server answers at http"):
        served(PROMPTS, 3, seeds=SEEDS)
