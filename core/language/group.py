"""The one primitive: log-probabilities of all completions of a group, with its prompt computed once.

Attention over a row (core/language/row.py) lets a completion see its prompt and itself, nothing else. No model code is
touched, so adapters, gradient checkpointing and autograd work as they do without it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from core.language.row import Span, TokenGroup, lay_out
from core.language.sharing import sharing

ATTENTION = "overnight_group"


def group_logprobs(model: torch.nn.Module, groups: Sequence[TokenGroup]) -> Tensor:
    """Log-probability of every completion token, completion after completion, group after group: (N,), float32.

    Gradients flow. Where the architecture can't share a prompt, each completion is computed with its own.
    """
    plain = getattr(model, "module", model)
    if sharing(plain.config, max(group.longest for group in groups)).shared:
        return shared_logprobs(model, groups)
    return torch.cat([plain_logprobs(model, group) for group in groups])


def shared_logprobs(model: torch.nn.Module, groups: Sequence[TokenGroup]) -> Tensor:
    """The computation that shares prompts: one forward pass over one row, head on the predicting positions only."""
    use_group_attention(model)
    device = next(model.parameters()).device
    row = lay_out(groups, device)
    logits_K_V = model(
        input_ids=row.input_ids_T[None],
        position_ids=row.position_ids_T[None],
        attention_mask=torch.zeros(1, 1, 1, 1, device=device),  # four axes: taken as it is, and not read
        use_cache=False,
        logits_to_keep=row.kept_K,
        spans=row.spans,
    ).logits[0]
    return _token_logprobs(logits_K_V, row.predictor_N, row.target_N)


def plain_logprobs(model: torch.nn.Module, group: TokenGroup) -> Tensor:
    """The computation every architecture can do: padded rows, each with the prompt; equal rows only once."""
    device = next(model.parameters()).device
    prompt = len(group.prompt)
    fed = list(dict.fromkeys(completion[:-1] for completion in group.completions))
    rows = [torch.tensor(group.prompt + tokens) for tokens in fed]
    input_ids_R_T = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    lengths_R = torch.tensor([len(row) for row in rows], device=device)
    logits_R_C_V = model(
        input_ids=input_ids_R_T,
        attention_mask=(torch.arange(input_ids_R_T.shape[1], device=device) < lengths_R[:, None]).long(),
        use_cache=False,
        logits_to_keep=torch.arange(prompt - 1, input_ids_R_T.shape[1], device=device),
    ).logits
    width = logits_R_C_V.shape[1]
    predictors = [
        fed.index(completion[:-1]) * width + place
        for completion in group.completions
        for place in range(len(completion))
    ]
    targets = [token for completion in group.completions for token in completion]
    return _token_logprobs(
        logits_R_C_V.flatten(0, 1),
        torch.tensor(predictors, device=device),
        torch.tensor(targets, device=device),
    )


def use_group_attention(model: torch.nn.Module) -> None:
    """Let a model understand rows; ordinary calls (no `spans`) stay PyTorch's scaled dot-product attention.

    It stays switched on, because gradient checkpointing runs layers again during the backward pass.
    """
    inner: Any = getattr(model, "module", model)
    base: PreTrainedModel = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    if base.config._attn_implementation != ATTENTION:  # noqa: SLF001
        base.set_attn_implementation(ATTENTION)


def _token_logprobs(logits_K_V: Tensor, predictor_N: Tensor, target_N: Tensor) -> Tensor:
    logits_K_V = logits_K_V.float()
    normaliser_K = logits_K_V.logsumexp(-1)
    return logits_K_V[predictor_N, target_N] - normaliser_K[predictor_N]


def _attention(  # noqa: PLR0917  (transformers calls it)
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    spans: tuple[Span, ...] | None = None,
    **rest: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention of a row: (1, heads, T, D) in, (1, T, heads, D) out."""
    if spans is None:
        plain = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return plain(module, query, key, value, attention_mask, scaling=scaling, **rest)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    pieces = []
    for span in spans:
        ends = slice(span.start, span.start + span.prompt + span.suffix)
        pieces += _span_attention(query[:, :, ends], key[:, :, ends], value[:, :, ends], span, scale)
    return torch.cat(pieces, 2).transpose(1, 2).contiguous(), None


def _span_attention(query: Tensor, key: Tensor, value: Tensor, span: Span, scale: float) -> list[Tensor]:
    """Attention of one group: its prompt, then all its completions."""
    prompt, repeats = span.prompt, query.shape[1] // key.shape[1]
    of_prompt = functional.scaled_dot_product_attention(
        query[:, :, :prompt],
        key[:, :, :prompt].repeat_interleave(repeats, 1),
        value[:, :, :prompt].repeat_interleave(repeats, 1),
        is_causal=True,
        scale=scale,
    )
    if span.suffix == 0:
        return [of_prompt]
    return [of_prompt, _completion_attention(query[0], key[0], value[0], span, scale)[None]]


def _completion_attention(query: Tensor, key: Tensor, value: Tensor, span: Span, scale: float) -> Tensor:
    """What each completion reads from its prompt and from itself: (heads, T, D) in, (heads, suffix, D) out.

    Scores against the prompt are one matrix product a key head, shared by all completions; scores of a completion
    against itself stand on a small grid.
    """
    heads, _, width = query.shape
    key_heads, prompt = key.shape[0], span.prompt
    repeats = heads // key_heads
    (completions, longest), suffix = span.grid_G_C.shape, span.suffix
    query_k_r_S_D = query[:, prompt:].reshape(key_heads, repeats, suffix, width)
    key_S, value_S = key[:, prompt:], value[:, prompt:]
    grid = span.grid_G_C.flatten()

    def on_grid(values: Tensor) -> Tensor:
        return values[..., grid, :].unflatten(-2, (completions, longest))

    prompt_scores = query_k_r_S_D.flatten(1, 2) @ key[:, :prompt].transpose(1, 2)
    prompt_scores = prompt_scores.view(key_heads, repeats, suffix, prompt)
    own_scores = on_grid(query_k_r_S_D) @ on_grid(key_S)[:, None].transpose(-1, -2)
    future = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1)
    own_scores = own_scores.masked_fill(future, float("-inf"))[:, :, span.valid_G_C]
    weights = torch.cat([prompt_scores, own_scores], -1).mul(scale).softmax(-1, dtype=torch.float32)
    weights = weights.to(query.dtype)
    from_prompt = weights[..., :prompt].flatten(1, 2) @ value[:, :prompt]
    own_weights = weights.new_zeros(key_heads, repeats, completions, longest, longest)
    own_weights[:, :, span.valid_G_C] = weights[..., prompt:]
    from_own = (own_weights @ on_grid(value_S)[:, None])[:, :, span.valid_G_C]
    return (from_prompt.view(key_heads, repeats, suffix, width) + from_own).flatten(0, 1)


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
