"""Which models can compute a prompt once for all its completions, and why the others can't."""

from dataclasses import dataclass
from typing import Any

CHECKED = frozenset(
    {
        "gemma",
        "gemma3_text",
        "gpt_neox",
        "granite",
        "llama",
        "mistral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
    }
)
"""Architectures whose log-probabilities and gradients were held against the plain computation (see the tests)."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Whether prompts are computed once; `reason` is a sentence for the report."""

    shared: bool
    reason: str


def sharing(config: Any, longest: int) -> Sharing:
    """Whether a model of this `transformers` config shares prompts in groups of up to `longest` tokens."""
    kind = config.model_type
    if getattr(config, "attn_logit_softcapping", None):
        return _plain(f"'{kind}' caps its attention scores")
    if kind not in CHECKED:
        return _plain(f"architecture '{kind}' has not been checked with shared prompts")
    if getattr(config, "use_bidirectional_attention", None):
        return _plain(f"'{kind}' is set to let tokens see what follows them")
    if getattr(config, "attention_dropout", 0.0):
        return _plain(f"'{kind}' drops attention weights in training")
    original = changes_beyond(config)
    if original is not None and longest > original:
        return _plain(
            f"'{kind}' changes its position factors beyond {original} tokens, and the longest row has {longest}"
        )
    return Sharing(shared=True, reason="each prompt is computed once for all its completions")


def position_factors_change(config: Any, shortest: int, longest: int) -> bool:
    """Whether what was computed of `shortest` tokens is wrong when there are `longest`."""
    original = changes_beyond(config)
    if original is None or longest <= original:
        return False
    return shortest <= original or _rope(config)["rope_type"] == "dynamic"


def _plain(reason: str) -> Sharing:
    return Sharing(shared=False, reason=f"each completion is computed with its own prompt: {reason}")


def changes_beyond(config: Any) -> int | None:
    """How many tokens a model reads with its original position factors, when it has others."""
    rope = _rope(config)
    return (
        rope.get("original_max_position_embeddings")
        if rope.get("rope_type") in ("longrope", "dynamic")
        else None
    )


def _rope(config: Any) -> dict[str, Any]:
    return getattr(config, "rope_parameters", None) or {}
