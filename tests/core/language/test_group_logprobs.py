"""The group primitive against the plain computation, architecture by architecture."""

import random

import pytest
import torch
from torch.nn import functional
from transformers import AutoConfig

from core.language.group import group_logprobs, plain_logprobs, shared_logprobs
from core.language.row import TokenGroup, lay_out, slices
from core.language.sharing import CHECKED, sharing

_STREAM = random.Random(0)


def words(count: int) -> tuple[int, ...]:
    return tuple(_STREAM.randrange(3, 97) for _ in range(count))


GROUPS = [
    TokenGroup(words(9), (words(1), words(1), words(1))),
    TokenGroup(words(12), (words(3), words(1), words(5))),
    TokenGroup(words(5), (words(4),)),
]


@pytest.mark.parametrize("kind", sorted(CHECKED))
def test_sharing_changes_neither_value_nor_gradient(kind, make, assert_plain, tree_of):
    """Every architecture that is said to share gives the plain computation's numbers in fp32."""
    model = make(kind)
    assert sharing(model.config, 17).shared
    assert_plain(model, [*GROUPS, tree_of(0)])


@pytest.mark.parametrize("kind", sorted(CHECKED))
def test_adapters_and_gradient_checkpointing_work_with_it(kind, make, adapted, gradients, tree_of):
    """LoRA's gradients through checkpointed layers equal those of the plain computation."""
    model, groups = adapted(make(kind)), [*GROUPS, tree_of(0)]
    expected = gradients(model, torch.cat([plain_logprobs(model, group) for group in groups]))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    found = gradients(model, group_logprobs(model, groups))
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("kind", sorted(CHECKED))
def test_in_bf16_it_errs_no_more_than_the_plain_computation(kind, make, gradients, tree_of):
    """Sums in another order round otherwise: at most twice as far from fp32, in values and gradients."""
    model, groups = make(kind), [*GROUPS, tree_of(0)]
    exact = shared_logprobs(model, groups)
    slopes = gradients(model, exact)
    model.bfloat16()
    plain = torch.cat([plain_logprobs(model, group) for group in groups])
    shared = shared_logprobs(model, groups)
    assert shared.dtype == torch.float32
    assert (shared - exact).norm() < 2 * (plain - exact).norm()
    limit = 2 * (gradients(model, plain) - slopes).norm()
    assert (gradients(model, shared) - slopes).norm() < limit


def test_the_plain_computation_is_the_models_own(make):
    """A completion's log-probabilities are those that the model itself gives to prompt + completion."""
    model, group = make("llama"), GROUPS[1]
    logprobs = plain_logprobs(model, group).split([3, 1, 5])
    for completion, found in zip(group.completions, logprobs, strict=True):
        tokens = torch.tensor([group.prompt + completion])
        everything = model(tokens).logits.log_softmax(-1)[0, len(group.prompt) - 1 : -1]
        expected = everything.gather(-1, torch.tensor(completion)[:, None])[:, 0]
        assert torch.allclose(expected, found, atol=1e-5)


def test_the_model_computes_what_is_counted_and_the_head_only_what_predicts(make, tree_of):
    """Layers see `computed` tokens; the head a prompt's last one and what comes after."""
    model, groups = make("llama"), [*GROUPS, tree_of(1)]
    seen = {}
    model.model.layers[0].mlp.register_forward_hook(lambda _, given, __: seen.update(layer=given[0].shape))
    model.lm_head.register_forward_hook(lambda _, given, __: seen.update(head=given[0].shape))
    shared_logprobs(model, groups)
    assert seen["layer"] == (1, sum(group.computed for group in groups), 32)
    assert seen["head"] == (1, sum(group.computed - len(group.prompt) + 1 for group in groups), 32)


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


def test_groups_of_a_row_do_not_see_each_other(make, tree_of):
    """Other tokens in one group change no bit of another's; packed and apart differ by rounding only."""
    model, other = make("llama"), tree_of(2)
    group = tree_of(1)
    changed = TokenGroup(
        tuple(99 - token for token in other.prompt),
        tuple(tuple(99 - token for token in completion) for completion in other.completions),
    )
    size = sum(map(len, group.completions))
    packed = [shared_logprobs(model, [group, second]) for second in (other, changed)]
    assert torch.equal(packed[0][:size], packed[1][:size])
    assert not torch.equal(packed[0][size:], packed[1][size:])
    apart = torch.cat([shared_logprobs(model, [one]) for one in (group, other)])
    assert torch.allclose(packed[0], apart, atol=1e-6)


def test_an_ordinary_call_is_not_changed(make):
    """After the primitive ran, the model answers as before."""
    model = make("llama")
    tokens = torch.tensor([words(10)])
    before = model(tokens).logits
    shared_logprobs(model, GROUPS)
    assert torch.equal(model(tokens).logits, before)


class _QuantisedLinear(torch.nn.Linear):
    """A frozen layer whose weight is bytes, as 4-bit bases have; multiplied after it is turned back."""

    def __init__(self, exact: torch.nn.Linear) -> None:
        super().__init__(exact.in_features, exact.out_features, bias=False)
        self.low, self.step = (
            exact.weight.data.min(),
            (exact.weight.data.max() - exact.weight.data.min()) / 255,
        )
        as_bytes = ((exact.weight.data - self.low) / self.step).round().to(torch.uint8)
        self.weight = torch.nn.Parameter(as_bytes, requires_grad=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return functional.linear(inputs, self.weight.to(inputs.dtype) * self.step + self.low)


def test_weights_need_not_be_floats(make, adapted, assert_plain, tree_of):
    """A base of bytes under a LoRA adapter shares prompts like any other."""
    model = make("llama")
    for layer in model.model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, child in list(block.named_children()):
                if isinstance(child, torch.nn.Linear):
                    setattr(block, name, _QuantisedLinear(child))
    assert_plain(adapted(model), [*GROUPS, tree_of(0)])


@pytest.mark.parametrize(
    ("kind", "reason"), [("gemma2", "caps its attention scores"), ("starcoder2", "has not been checked")]
)
def test_soft_capped_and_unknown_architectures_fall_back(kind, reason, make):
    """Gemma 2 caps its scores, what was never checked is not trusted: both say so and are computed plainly."""
    model = make(kind)
    way = sharing(model.config, 10)
    assert not way.shared
    assert reason in way.reason
    plain = torch.cat([plain_logprobs(model, group) for group in GROUPS])
    assert torch.equal(group_logprobs(model, GROUPS), plain)


def test_tokens_that_see_the_future_fall_back():
    """Gemma 3 can be set up as an encoder; rows are causal."""
    config = AutoConfig.for_model("gemma3_text", use_bidirectional_attention=True)
    assert "see what follows" in sharing(config, 10).reason


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
