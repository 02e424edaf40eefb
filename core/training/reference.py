"""The policy that training starts from, as log-probabilities computed once: no second model is kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.files import digest, writing
from core.language.group import group_logprobs
from core.language.row import slices
from core.training.batch import distribution
from core.training.data import GroupData, TrainingGroup

EVALUATION_TOKENS = 2048
"""Tokens of one forward pass without gradients."""


def with_reference(model: torch.nn.Module, data: GroupData, cache: Path, start: str) -> GroupData:
    """The same groups, each with its completions' log-probabilities under the model as it is now.

    `start` is the digest of the weights; a resumed run finds the figures in `cache`.
    """
    groups = [*data.train, *data.held_out]
    key = digest(start, [(group.id, group.tokens.prompt, group.tokens.completions) for group in groups])
    logprobs_N = _read(cache, key)
    if logprobs_N is None:
        logprobs_N = reference_logprobs(model, groups)
        with writing(cache):
            save_file({"logprobs": logprobs_N}, cache.with_suffix(".part"), metadata={"key": key})
            cache.with_suffix(".part").replace(cache)
    done = attach(groups, logprobs_N)
    train = len(data.train)
    return replace(data, train=tuple(done[:train]), held_out=tuple(done[train:]))


@torch.no_grad()
def reference_logprobs(model: torch.nn.Module, groups: Sequence[TrainingGroup]) -> Tensor:
    """Log-probability of every completion token of all groups, one after another: (N,), on the CPU."""
    model.eval()
    tokens = [group.tokens for group in groups]
    return torch.cat(
        [
            group_logprobs(model, tokens[part], **distribution(groups[part])).cpu()
            for part in slices(tokens, EVALUATION_TOKENS)
        ]
    )


class StartWeights:
    """The trained weights as they were when training started, to be looked at again."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._kept = [
            (weight, weight.detach().clone()) for weight in model.parameters() if weight.requires_grad
        ]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The start in place of the model; afterwards the very same tensors are back, whatever happened."""
        now = [weight.data for weight, _ in self._kept]
        try:
            for weight, start in self._kept:
                weight.data = start
            yield
        finally:
            for (weight, _), data in zip(self._kept, now, strict=True):
                weight.data = data


def attach(groups: Sequence[TrainingGroup], logprobs_N: Tensor) -> list[TrainingGroup]:
    """Give each group its own part of the log-probabilities."""
    counts = [sum(map(len, group.tokens.completions)) for group in groups]
    parts = logprobs_N.split(counts)
    return [replace(group, reference=tuple(part.tolist())) for group, part in zip(groups, parts, strict=True)]


def _read(path: Path, key: str) -> Tensor | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("logprobs") if file.metadata().get("key") == key else None
    except SafetensorError:
        return None
