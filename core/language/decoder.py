"""Completions that grow token by token after their prompts: with one copy of each prompt, or as any model can."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from core.errors import DataError
from core.language.group import use_group_attention
from core.language.memory import Memory
from core.language.row import Forest
from core.language.sharing import position_factors_change, sharing
from core.language.tree import Tokens


class Decoder(Protocol):
    """Completions of several prompts that all have come equally far; B counts those that are not whole yet."""

    def begin(self) -> Tensor:
        """Read the prompts: logits of every completion's first token, (B, V)."""

    def step(self, tokens_B: Tensor) -> Tensor:
        """Read each completion's newest token: logits of the next one, (B, V)."""

    def keep(self, places: Sequence[int]) -> None:
        """Go on with the completions at these places only."""


def decoder(model: torch.nn.Module, prompts: Sequence[Tokens], count: int, max_tokens: int) -> Decoder:
    """`count` completions of each prompt, of at most `max_tokens`.

    Raises: DataError for prompts that leave no room for a completion.
    """
    config: Any = getattr(model, "module", model).config
    longest = max(map(len, prompts)) + max_tokens
    _check_lengths(config, prompts, longest)
    if sharing(config, longest).shared:
        return SharedDecoder(model, prompts, count, max_tokens)
    if position_factors_change(config, min(map(len, prompts)), longest):
        raise DataError(
            f"a prompt of {longest - max_tokens} tokens with {max_tokens} more changes this model's position factors "
            "on the way: shorten the prompt, or lower max_tokens"
        )
    return CachedDecoder(model, prompts, count)


def _check_lengths(config: Any, prompts: Sequence[Tokens], longest: int) -> None:
    if not all(prompts):
        raise DataError("a prompt without a token can't be completed: leave it out")
    most = getattr(config, "max_position_embeddings", None)
    if most is not None and longest > most:
        raise DataError(
            f"a prompt with its completion may take {longest} tokens and the model reads {most}: "
            "shorten the prompt, or lower max_tokens"
        )


class SharedDecoder:
    """All completions as one batch over one copy of each prompt's keys and values."""

    def __init__(
        self, model: torch.nn.Module, prompts: Sequence[Tokens], count: int, max_tokens: int
    ) -> None:
        use_group_attention(model)
        self._model, self._prompts = model, prompts
        self._device = next(model.parameters()).device
        self._memory = Memory([len(prompt) for prompt in prompts], [count] * len(prompts), max_tokens)
        self._group_B = [index for index in range(len(prompts)) for _ in range(count)]

    def begin(self) -> Tensor:
        """(B, V)."""
        lengths = self._tensor(self._memory.lengths)
        ends = lengths.cumsum(0).tolist()
        roots = tuple(
            slice(end - length, end) for end, length in zip(ends, self._memory.lengths, strict=True)
        )
        logits_P_V = self._forward(
            self._tensor([token for prompt in self._prompts for token in prompt])[None],
            torch.cat([torch.arange(len(prompt), device=self._device) for prompt in self._prompts])[None],
            logits_to_keep=lengths.cumsum(0) - 1,
            forest=Forest(roots, (), ()),
        )[0]
        return logits_P_V[self._group_B]

    def step(self, tokens_B: Tensor) -> Tensor:
        """(B, V)."""
        self._memory.place += 1
        lengths = self._tensor([self._memory.lengths[index] for index in self._group_B])
        return self._forward(tokens_B[:, None], (lengths + self._memory.place)[:, None])[:, 0]

    def keep(self, places: Sequence[int]) -> None:
        """Every prompt's completions stay next to each other."""
        self._group_B = [self._group_B[place] for place in places]
        counts = [self._group_B.count(index) for index in range(len(self._prompts))]
        self._memory.keep(self._tensor(places), counts)

    def _forward(self, input_ids: Tensor, position_ids: Tensor, **how: Any) -> Tensor:
        return self._model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=torch.zeros(
                1, 1, 1, 1, device=self._device
            ),  # as in core/language/group.py: not read
            use_cache=False,
            memory=self._memory,
            **how,
        ).logits

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)


class CachedDecoder:
    """One cache of the model's own for each prompt, copied for each of its completions."""

    def __init__(self, model: torch.nn.Module, prompts: Sequence[Tokens], count: int) -> None:
        self._model, self._prompts = model, prompts
        self._device = next(model.parameters()).device
        self._caches: list[Any] = [None] * len(prompts)
        self._counts = [count] * len(prompts)

    def begin(self) -> Tensor:
        """(B, V)."""
        found = []
        for index, prompt in enumerate(self._prompts):
            logits_1_V = self._forward(index, torch.tensor([prompt], device=self._device))
            found.append(logits_1_V.expand(self._counts[index], -1))
            self._caches[index].batch_repeat_interleave(self._counts[index])
        return torch.cat(found)

    def step(self, tokens_B: Tensor) -> Tensor:
        """(B, V)."""
        parts = tokens_B.split(self._counts)
        return torch.cat(
            [self._forward(index, part[:, None]) for index, part in enumerate(parts) if len(part)]
        )

    def keep(self, places: Sequence[int]) -> None:
        """Each prompt's cache keeps its own."""
        start = 0
        for index, count in enumerate(self._counts):
            kept = [place - start for place in places if start <= place < start + count]
            start, self._counts[index] = start + count, len(kept)
            if kept and len(kept) < count:
                self._caches[index].batch_select_indices(torch.tensor(kept, device=self._device))

    def _forward(self, index: int, input_ids_B_T: Tensor) -> Tensor:
        found = self._model(
            input_ids=input_ids_B_T, past_key_values=self._caches[index], use_cache=True, logits_to_keep=1
        )
        self._caches[index] = found.past_key_values
        return found.logits[:, -1]
