"""An adapter merged into its base model: in float32, checked weight by weight and against the adapter itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from core.errors import ExportError
from core.exporting.config import WeightType
from core.exporting.replay import (
    EncodedPrompt,
    LogProbs,
    TransformersReader,
    free_memory,
)
from core.files import writing
from core.language.folder import copy_tokenizer
from core.language.model import load_weights, put_adapter
from core.record import Record

PARITY_LIMIT = {"float32": 1e-6, "bfloat16": 1e-3, "float16": 1e-3}
"""KL divergence a token, in nats, that rounding explains. In memory the merge is held to float32's, whatever is stored:
bfloat16's would let an adapter pass that taught little and was not merged."""
LARGEST_HALF = 65504.0
"""What f16 can hold; the converter would write infinity above it, with a warning nobody sees."""


class Guess(Record):
    """What a model goes on with after a prompt."""

    token: int
    lead: float
    """How much likelier it is than the second, in nats."""


class Merge(Record):
    """Merged weights in a folder, and how exactly they answer as the adapter did."""

    path: str
    parameters: int
    weight_type: WeightType
    parity_kl: float
    """Mean KL divergence, adapter on base to merged model as reloaded, in nats a token."""
    signal_kl: float
    """Mean KL divergence, trained to base model: what the training changed; 0 without an adapter."""
    guesses: tuple[Guess, ...] = ()
    """What the merged model goes on with after each probe."""


def merge_adapter(
    base: Path,
    adapter: Path | None,
    target: Path,
    *,
    weight_type: WeightType = "float32",
    probes: Sequence[EncodedPrompt] = (),
) -> Merge:
    """Write base and adapter as one model with the base's own tokenizer files, and read it back on the probes.

    Raises: ModelError, ExportError when a weight is not finite or the merged model answers differently, StorageError.
    """
    model = load_weights(base)
    adapted: Any = put_adapter(model, adapter) if adapter else model
    adapted.eval()
    check_finite(
        {name: tensor for name, tensor in adapted.named_parameters() if "lora_" in name}, adapter or base
    )
    before = _read(adapted, probes)
    signal = _base_distance(adapted, before, probes) if adapter else 0.0
    merged = adapted.merge_and_unload() if isinstance(adapted, PeftModel) else adapted
    check_finite(merged.state_dict(), base)
    _require_parity(mean_kl(before, _read(merged, probes)), PARITY_LIMIT["float32"], adapter)
    parameters = sum(tensor.numel() for tensor in merged.parameters())
    _save(merged.to(getattr(torch, weight_type)), base, target)
    del model, adapted, merged
    free_memory()
    after = _read(load_weights(target), probes)
    parity = mean_kl(before, after)
    _require_parity(parity, PARITY_LIMIT[weight_type], adapter)
    return Merge(
        path=str(target),
        parameters=parameters,
        weight_type=weight_type,
        parity_kl=parity,
        signal_kl=signal,
        guesses=tuple(_guess(logprobs_T_V[-1]) for logprobs_T_V in after),
    )


def _guess(logprobs_V: LogProbs) -> Guess:
    second, first = np.argsort(logprobs_V)[-2:]
    return Guess(token=int(first), lead=float(logprobs_V[first] - logprobs_V[second]))


def _require_parity(kl: float, limit: float, adapter: Path | None) -> None:
    if not kl <= limit:
        raise ExportError(
            f"the model merged from {adapter} answers differently from the adapter it was made from (KL {kl:.2g} "
            f"nats a token, at most {limit:g}): train without LoRA on embeddings tied to the head"
        )


def check_finite(tensors: dict[str, torch.Tensor], source: Path) -> None:
    """Raises: ExportError that names the first weight that is not finite or too large for f16."""
    for name, tensor in tensors.items():
        largest = tensor.abs().max().item() if tensor.numel() else 0.0
        if not largest <= LARGEST_HALF:  # also true for NaN
            what = f"holds {largest:g}, more than f16 can" if np.isfinite(largest) else "is not finite"
            raise ExportError(
                f"tensor {name} of {source} {what}: the training diverged, take an earlier checkpoint"
            )


def _save(model: PreTrainedModel, base: Path, target: Path) -> None:
    with writing(target):
        model.save_pretrained(target)
        copy_tokenizer(base, target)


def _read(model: Any, probes: Sequence[EncodedPrompt]) -> list[LogProbs]:
    reader = TransformersReader(model)
    return [reader.log_probabilities(probe) for probe in probes]


def _base_distance(adapted: PeftModel, trained: Sequence[LogProbs], probes: Sequence[EncodedPrompt]) -> float:
    with adapted.disable_adapter():
        return mean_kl(trained, _read(adapted, probes))


def mean_kl(reference: Sequence[LogProbs], other: Sequence[LogProbs]) -> float:
    """Mean of `token_kl` over all tokens of several prompts; 0 without prompts."""
    if not reference:
        return 0.0
    return float(
        np.mean(
            np.concatenate([token_kl(p_T_V, q_T_V) for p_T_V, q_T_V in zip(reference, other, strict=True)])
        )
    )


def token_kl(reference_T_V: LogProbs, other_T_V: LogProbs) -> LogProbs:
    """KL divergence of each token's distribution (T,), in nats, from log-probabilities (T, V)."""
    return (np.exp(reference_T_V) * (reference_T_V - other_T_V)).sum(axis=-1)
