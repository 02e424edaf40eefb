"""The distribution a token is drawn from: temperature, then what is legal, then top-p, renormalised over what is left.

A rollout draws from it and training computes its ratio in it, both through this module. Sets of allowed tokens are kept
packed, eight tokens a byte, the first in the lowest bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bits = NDArray[np.uint8]
"""Allowed tokens, packed: (bytes,), or (tokens, bytes) for a whole completion."""
_LIKELY = 512
"""Tokens that are sorted first: most often they hold all that top-p keeps."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One token for each of B rows."""

    tokens_B: Tensor
    logprobs_B: Tensor
    allowed_B_W: Tensor | None
    """What each could have been, packed; nothing when it could have been anything."""


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """Logits in float32, divided by the temperature."""
    logits = logits.float()
    return logits if temperature == 1.0 else logits / temperature


def normaliser(logits_M_V: Tensor, allowed_M_W: Tensor) -> Tensor:
    """Log of what the allowed tokens sum to: (M,)."""
    hidden_M_V = ~unpack(allowed_M_W, logits_M_V.shape[-1])
    return logits_M_V.masked_fill(hidden_M_V, float("-inf")).logsumexp(-1)


def draw(
    logits_B_V: Tensor, temperature: float, top_p: float, legal_B_W: Tensor | None, uniform_B: Tensor
) -> Drawn:
    """Draw one token a row by inverting its distribution function at a number in [0, 1)."""
    logits_B_V, allowed_B_W = tempered(logits_B_V, temperature), legal_B_W
    if legal_B_W is not None:
        logits_B_V = logits_B_V.masked_fill(~unpack(legal_B_W, logits_B_V.shape[-1]), float("-inf"))
    if top_p < 1.0:
        kept_B_V = nucleus(logits_B_V, top_p)
        logits_B_V, allowed_B_W = logits_B_V.masked_fill(~kept_B_V, float("-inf")), pack(kept_B_V)
    logprobs_B_V = logits_B_V.log_softmax(-1)
    tokens_B = _invert(logprobs_B_V.exp(), uniform_B)
    return Drawn(tokens_B, logprobs_B_V.gather(-1, tokens_B[:, None])[:, 0], allowed_B_W)


def nucleus(logits_B_V: Tensor, top_p: float) -> Tensor:
    """The fewest most probable tokens that hold `top_p` of the probability, as a mask; never none."""
    probabilities_B_V = logits_B_V.softmax(-1)
    for count in (min(_LIKELY, logits_B_V.shape[-1]), logits_B_V.shape[-1]):
        sorted_B_L, order_B_L = probabilities_B_V.topk(count)
        if sorted_B_L.sum(-1).min() >= top_p:
            break
    before_B_L = sorted_B_L.cumsum(-1) - sorted_B_L
    kept_B_L = (before_B_L < top_p) & (sorted_B_L > 0)
    kept_B_L[:, 0] = True
    return torch.zeros_like(probabilities_B_V, dtype=torch.bool).scatter(-1, order_B_L, kept_B_L)


def _invert(probabilities_B_V: Tensor, uniform_B: Tensor) -> Tensor:
    """The first token where the distribution function passes the number; never one of probability 0."""
    cumulative_B_V = probabilities_B_V.cumsum(-1)
    total_B = cumulative_B_V[:, -1]
    target_B = torch.minimum(uniform_B.to(total_B) * total_B, total_B.nextafter(torch.zeros_like(total_B)))
    passed_B_V = (cumulative_B_V > target_B[:, None]) & (probabilities_B_V > 0)
    return passed_B_V.byte().argmax(-1)


def pack(mask_M_V: Tensor) -> Tensor:
    """A mask over the vocabulary as bits: (M, W)."""
    missing = -mask_M_V.shape[-1] % 8
    bits_M_W_8 = torch.nn.functional.pad(mask_M_V.byte(), (0, missing)).unflatten(-1, (-1, 8))
    places_8 = torch.arange(8, dtype=torch.uint8, device=mask_M_V.device)
    return (bits_M_W_8 << places_8).sum(-1, dtype=torch.uint8)


def unpack(allowed_M_W: Tensor, vocabulary: int) -> Tensor:
    """Bits as a mask over the vocabulary: (M, V)."""
    places_8 = torch.arange(8, dtype=torch.uint8, device=allowed_M_W.device)
    return (allowed_M_W[..., None] >> places_8 & 1).flatten(-2)[..., :vocabulary].bool()


def only(tokens: Sequence[int], vocabulary: int) -> Bits:
    """The bits of a few tokens: (bytes,)."""
    mask = np.zeros(vocabulary, dtype=bool)
    mask[list(tokens)] = True
    return np.packbits(mask, bitorder="little")


def holds(allowed: Bits, tokens: Sequence[int]) -> NDArray[np.bool_]:
    """Whether each token is in its own row of bits: (tokens,)."""
    chosen = np.asarray(tokens)
    return (allowed[np.arange(len(chosen)), chosen // 8] >> (chosen % 8).astype(np.uint8) & 1).astype(bool)
