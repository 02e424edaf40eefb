"""The one primitive: log-probabilities of all completions of a group, with what they share computed once.

That is their prompt and whatever several of them begin with (core/language/tree.py). Attention over a row
(core/language/attention.py) lets a token see its own branch, nothing else. No model code is touched, so adapters,
gradient checkpointing and autograd work as they do without it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.language.attention import ATTENTION
from core.language.distribution import normaliser, tempered
from core.language.drawing import FREE, Allowed, Drawing
from core.language.row import TokenGroup, lay_out
from core.language.sharing import sharing


def group_logprobs(
    model: torch.nn.Module,
    groups: Sequence[TokenGroup],
    *,
    temperature: float = 1.0,
    allowed: Sequence[Allowed] | None = None,
) -> Tensor:
    """Log-probability of every completion token, completion after completion, group after group: (N,), float32.

    Gradients flow. Where the architecture can't share a prompt, each completion is computed with its own. With the
    temperature and the allowed sets of a rollout, one a group, it is the distribution that the rollout drew from.

    Raises: DataError for a token outside its allowed set.
    """
    plain, device = getattr(model, "module", model), next(model.parameters()).device
    if sharing(plain.config, max(group.longest for group in groups)).shared:
        return shared_logprobs(model, groups, Drawing.of(groups, allowed, temperature, device))
    each: Sequence[Allowed | None] = allowed or [None] * len(groups)
    return torch.cat(
        [
            plain_logprobs(
                model, group, Drawing.of([group], None if own is None else [own], temperature, device)
            )
            for group, own in zip(groups, each, strict=True)
        ]
    )


def shared_logprobs(model: torch.nn.Module, groups: Sequence[TokenGroup], drawing: Drawing = FREE) -> Tensor:
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
        forest=row.forest,
    ).logits[0]
    return _token_logprobs(logits_K_V, row.predictor_N, row.target_N, drawing)


def plain_logprobs(model: torch.nn.Module, group: TokenGroup, drawing: Drawing = FREE) -> Tensor:
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
        drawing,
    )


def use_group_attention(model: torch.nn.Module) -> None:
    """Let a model understand rows; ordinary calls (no `forest`) stay PyTorch's scaled dot-product attention.

    It stays switched on, because gradient checkpointing runs layers again during the backward pass.
    """
    inner: Any = getattr(model, "module", model)
    base: PreTrainedModel = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    if base.config._attn_implementation != ATTENTION:  # noqa: SLF001
        base.set_attn_implementation(ATTENTION)


def _token_logprobs(logits_K_V: Tensor, predictor_N: Tensor, target_N: Tensor, drawing: Drawing) -> Tensor:
    logits_K_V = tempered(logits_K_V, drawing.temperature)
    normaliser_N = logits_K_V.logsumexp(-1)[predictor_N]
    if drawing.token_M is not None and drawing.allowed_M_W is not None:
        own_M = normaliser(logits_K_V[predictor_N[drawing.token_M]], drawing.allowed_M_W)
        normaliser_N = normaliser_N.index_copy(0, drawing.token_M, own_M)
    return logits_K_V[predictor_N, target_N] - normaliser_N
