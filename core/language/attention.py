"""Attention over a row of token trees: every token sees its branch up to the root, each layer as far as its window.

The roots are ordinary causal attention. Everything that branches from them is computed part by part
(core/language/parts.py) with a running softmax, and once more in the backward pass instead of being kept: FlashAttention
(Dao et al. 2022, arXiv:2205.14135, algorithms 1 and 4), with the tree's segments as its blocks.

The roots get no mask, so PyTorch takes its own FlashAttention kernel for them where there is one (CUDA in bf16); no
other package is needed for that.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from core.language.memory import Memory
from core.language.parts import Part
from core.language.row import Forest

ATTENTION = "overnight_group"
_WINDOWED_QUERIES = 512


def row_attention(  # noqa: PLR0917  (transformers calls it)
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    forest: Forest | None = None,
    sliding_window: int | None = None,
    memory: Memory | None = None,
    **rest: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention of a row: (1, heads, T, D) in, (1, T, heads, D) out; a call without a forest is an ordinary one.

    With a memory, a row leaves its keys and values there; without a row, completions grow from it by one token each.
    """
    if memory is not None and forest is not None:
        memory.add_prompts(module.layer_idx, key[0], value[0])  # type: ignore[arg-type]
    elif memory is not None:
        scale = scaling if scaling is not None else query.shape[-1] ** -0.5
        return memory.read(module.layer_idx, query, key, value, scale, sliding_window), None  # type: ignore[arg-type]
    if forest is None:
        plain = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return plain(
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **rest
        )
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    found = [
        _causal(query[:, :, root], key[:, :, root], value[:, :, root], scale, sliding_window)
        for root in forest.roots
    ]
    if forest.tiles:
        query_K_R_T_D = query[0].unflatten(0, (key.shape[1], -1))
        below = _Branches.apply(query_K_R_T_D, key[0], value[0], forest, scale, sliding_window)
        found.append(below.flatten(0, 1)[None, :, forest.branches :])
    return torch.cat(found, 2).transpose(1, 2).contiguous(), None


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
    """A root by itself; with a window, some queries at a time against the keys they can see."""
    repeats, length = query.shape[1] // key.shape[1], query.shape[2]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    if window is None or length <= window:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
    places_T = torch.arange(length, device=query.device)
    found = []
    for start in range(0, length, _WINDOWED_QUERIES):
        queries = slice(start, start + _WINDOWED_QUERIES)
        keys = slice(max(0, start - window + 1), queries.stop)
        distance = places_T[queries, None] - places_T[keys]
        seen = (distance >= 0) & (distance < window)
        found.append(
            functional.scaled_dot_product_attention(
                query[:, :, queries], key[:, :, keys], value[:, :, keys], attn_mask=seen, scale=scale
            )
        )
    return torch.cat(found, 2)


class _Branches(torch.autograd.Function):
    """What everything below the roots reads from its branch; zero at the roots."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,
        query_K_R_T_D: Tensor,
        key_K_T_D: Tensor,
        value_K_T_D: Tensor,
        forest: Forest,
        scale: float,
        window: int | None,
    ) -> Tensor:
        wide = torch.promote_types(query_K_R_T_D.dtype, torch.float32)
        sum_K_R_T_D = torch.zeros(
            (*query_K_R_T_D.shape[:-1], value_K_T_D.shape[-1]), dtype=wide, device=query_K_R_T_D.device
        )
        total_K_R_T = torch.zeros_like(sum_K_R_T_D[..., 0])
        largest_K_R_T = torch.full_like(total_K_R_T, float("-inf"))
        for part in _parts(forest, window):
            scores = _scores(part, query_K_R_T_D, key_K_T_D, scale, window)
            before = part.take(largest_K_R_T)
            largest = torch.maximum(before, scores.amax(-1))
            weights, fade = scores.sub_(largest[..., None]).exp_(), (before - largest).exp_()
            part.give(largest_K_R_T, largest)
            part.give(total_K_R_T, part.take(total_K_R_T) * fade + weights.sum(-1))
            read = weights.to(value_K_T_D.dtype) @ part.take_keys(value_K_T_D)
            part.give(sum_K_R_T_D, part.take(sum_K_R_T_D) * fade[..., None] + read)
        total_K_R_T[:, :, : forest.branches] = 1
        read_K_R_T_D = (sum_K_R_T_D / total_K_R_T[..., None]).to(query_K_R_T_D.dtype)
        normaliser_K_R_T = largest_K_R_T + total_K_R_T.log()
        ctx.save_for_backward(query_K_R_T_D, key_K_T_D, value_K_T_D, read_K_R_T_D, normaliser_K_R_T)
        ctx.forest, ctx.scale, ctx.window = forest, scale, window
        return read_K_R_T_D

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        query, key, value, read, normaliser = ctx.saved_tensors
        gradient = gradients[0].to(read.dtype)
        level = (gradient * read).sum(-1, dtype=normaliser.dtype)
        to_query, to_key, to_value = (
            torch.zeros_like(one, dtype=normaliser.dtype) for one in (query, key, value)
        )
        for part in _parts(ctx.forest, ctx.window):
            scores = _scores(part, query, key, ctx.scale, ctx.window)
            weights = scores.sub_(part.take(normaliser)[..., None]).exp_()
            back = part.take(gradient)
            part.add_keys(to_value, weights.to(value.dtype).mT @ back)
            rise = (back @ part.take_keys(value).mT).to(weights.dtype)
            rise = rise.sub_(part.take(level)[..., None]).mul_(weights).to(query.dtype)
            part.add_keys(to_key, rise.mT @ part.take(query))
            part.give(to_query, part.take(to_query) + rise @ part.take_keys(key))
        to_query, to_key = to_query * ctx.scale, to_key * ctx.scale
        return to_query.to(query.dtype), to_key.to(key.dtype), to_value.to(value.dtype), None, None, None


def _parts(forest: Forest, window: int | None) -> Iterator[Part]:
    """Every token's own segment first, so that no running sum is of nothing."""
    yield from forest.grids
    for tile in forest.tiles:
        near = tile if window is None else tile.within(window)
        if near is not None:
            yield near


def _scores(part: Part, query: Tensor, key: Tensor, scale: float, window: int | None) -> Tensor:
    """Scaled scores of a part in float32 (or wider), what is hidden at minus infinity: (K, ..., R * M, L)."""
    queries, keys = part.take(query), part.take_keys(key)
    batch = queries.shape[:-2]
    scores = torch.baddbmm(
        queries.new_zeros(1, 1, 1), queries.flatten(0, -3), keys.flatten(0, -3).mT, beta=0, alpha=scale
    )
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32)).unflatten(0, batch)
    hidden = part.hidden(window)
    if hidden is None:
        return scores
    by_head = scores.unflatten(-2, (query.shape[1], -1))
    return by_head.masked_fill_(hidden[..., None, :, :], float("-inf")).flatten(-3, -2)


AttentionInterface.register(ATTENTION, row_attention)
AttentionMaskInterface.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
