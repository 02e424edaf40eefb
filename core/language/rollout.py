"""Completions drawn from a policy, with the log-probabilities and the legal sets they were drawn under.

Each prompt is read once, and all completions of several prompts grow together as one batch from which whole ones drop out
(core/language/decoder.py). Draws depend on the prompt's own seed and nothing else, so a resumed run draws the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from core.errors import DataError
from core.language.decoder import Decoder, decoder
from core.language.distribution import Bits, Drawn, draw
from core.language.legal import Legal, choice, json_text
from core.language.merged import answering, merged
from core.language.row import TokenGroup
from core.language.sampling import SamplingSettings
from core.language.tokens import completion_text
from core.language.tree import Tokens

BATCH = 64
"""Completions that grow together."""


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One prompt's completions, as they were drawn."""

    prompt: Tokens
    completions: tuple[Tokens, ...]
    """With the stop token, where one was drawn."""
    logprobs: tuple[tuple[float, ...], ...]
    """Of every token, in the distribution it was drawn from: tempered, masked, renormalised."""
    finished: tuple[bool, ...]
    """False: cut at `max_tokens`. Never to be trained on as if it were whole."""
    allowed: tuple[Bits | None, ...]
    """What every token could have been, packed: (tokens, bytes); None where it could have been anything."""

    @property
    def group(self) -> TokenGroup:
        """The tokens alone."""
        return TokenGroup(self.prompt, self.completions)


@dataclass(slots=True)
class _Growing:
    """A completion while it is drawn."""

    prompt: int
    legal: Legal | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    allowed: list[Bits] = field(default_factory=list)
    finished: bool = False


def rollouts(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Tokens],
    count: int,
    settings: SamplingSettings,
    *,
    seeds: Sequence[int],
    choices: Sequence[Sequence[Tokens]] | None = None,
    batch: int = BATCH,
) -> list[Rollout]:
    """Draw `count` completions of each prompt; `choices` holds each prompt's legal answers, where they are to be chosen.

    The model is left as it was: its weights, its modes, no gradients. Raises: ConfigError, DataError, ModelError.
    """
    if choices is not None and settings.json_schema is not None:
        raise DataError(
            "a completion is chosen among answers or written by json_schema, not both: leave one out"
        )
    if choices is not None and settings.stop:
        raise DataError(
            "a choice ends with its answer, and a text of stop would cut one short: leave stop empty"
        )
    drawn: list[Rollout] = []
    together = max(1, batch // count)
    with answering(model), merged(model):
        sampler = _Sampler(model, tokenizer, settings)
        for start in range(0, len(prompts), together):
            part = slice(start, start + together)
            drawn += sampler.draw(prompts[part], count, seeds[part], choices and choices[part])
    return drawn


class _Sampler:
    """What the completions of all prompts have in common."""

    def __init__(
        self, model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, settings: SamplingSettings
    ) -> None:
        self._model, self._tokenizer, self._settings = model, tokenizer, settings
        self._stops = stop_tokens(model, tokenizer)
        self._tail = 4 * max(map(len, settings.stop), default=0)

    def draw(
        self,
        prompts: Sequence[Tokens],
        count: int,
        seeds: Sequence[int],
        choices: Sequence[Sequence[Tokens]] | None,
    ) -> list[Rollout]:
        """All completions of some prompts, as one batch."""
        settings = self._settings
        uniform_P_C_G = np.stack(
            [np.random.default_rng(seed).random((settings.max_tokens, count)) for seed in seeds]
        )
        grown = decoder(self._model, prompts, count, settings.max_tokens)
        logits_B_V = grown.begin()
        rows = self._rows(prompts, count, choices, logits_B_V.shape[-1])
        self._grow(rows, uniform_P_C_G.swapaxes(1, 2).reshape(len(rows), -1), grown, logits_B_V)
        return [_rollout(prompt, rows[i * count : (i + 1) * count]) for i, prompt in enumerate(prompts)]

    def _rows(
        self,
        prompts: Sequence[Tokens],
        count: int,
        choices: Sequence[Sequence[Tokens]] | None,
        vocabulary: int,
    ) -> list[_Growing]:
        rows = []
        for index in range(len(prompts)):
            legal = self._legal(None if choices is None else choices[index], vocabulary)
            rows += [_Growing(index, legal and legal.again()) for _ in range(count)]
        return rows

    def _legal(self, answers: Sequence[Tokens] | None, vocabulary: int) -> Legal | None:
        settings = self._settings
        if answers is not None:
            stop = self._stops[0] if self._stops else None
            return choice(answers, stop, vocabulary, settings.max_tokens)
        if settings.json_schema is not None:
            return json_text(settings.json_schema, self._tokenizer, self._stops, vocabulary)
        return None

    def _grow(
        self, rows: Sequence[_Growing], uniform_R_C: np.ndarray, grown: Decoder, logits_B_V: Tensor
    ) -> None:
        """Token after token, until all are whole or as long as they may be."""
        settings, live = self._settings, list(range(len(rows)))
        for place in range(settings.max_tokens):
            uniform_B = torch.from_numpy(uniform_R_C[live, place]).to(logits_B_V.device, torch.float32)
            legal_B_W = _legal_bits([rows[index] for index in live], logits_B_V.device)
            drawn = draw(logits_B_V, settings.temperature, settings.top_p, legal_B_W, uniform_B)
            self._take([rows[index] for index in live], drawn)
            kept = [place for place, index in enumerate(live) if not rows[index].finished]
            if not kept or place + 1 == settings.max_tokens:
                return
            tokens_B = drawn.tokens_B
            if len(kept) < len(live):
                grown.keep(kept)
                live, tokens_B = [live[place] for place in kept], tokens_B[kept]
            logits_B_V = grown.step(tokens_B)

    def _take(self, rows: Sequence[_Growing], drawn: Drawn) -> None:
        allowed_B_W = None if drawn.allowed_B_W is None else drawn.allowed_B_W.cpu().numpy()
        values = zip(drawn.tokens_B.tolist(), drawn.logprobs_B.tolist(), strict=True)
        for index, (row, (token, logprob)) in enumerate(zip(rows, values, strict=True)):
            row.tokens.append(token)
            row.logprobs.append(logprob)
            if allowed_B_W is not None:
                row.allowed.append(allowed_B_W[index])
            whole = row.legal is not None and row.legal.take(token)
            row.finished = whole or token in self._stops or self._stopped(row.tokens)

    def _stopped(self, tokens: Sequence[int]) -> bool:
        """Whether the last token completes a stop text: every token holds a byte, a letter up to four."""
        if not self._tail:
            return False
        text = completion_text(self._tokenizer, tokens[-self._tail - 1 :])
        return any(stop in text for stop in self._settings.stop)


def stop_tokens(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """The tokens that end a completion: the tokenizer's own first, then those the model was made with."""
    generation = getattr(getattr(model, "module", model), "generation_config", None)
    own = getattr(generation, "eos_token_id", None)
    made_with = own if isinstance(own, list) else [own]
    found = [token for token in (tokenizer.eos_token_id, *made_with) if token is not None]
    return tuple(dict.fromkeys(found))


def _legal_bits(rows: Sequence[_Growing], device: torch.device) -> Tensor | None:
    """(B, W), or nothing where anything is legal."""
    bits = [row.legal.allowed() for row in rows if row.legal is not None]
    return torch.from_numpy(np.stack(bits)).to(device) if bits else None


def _rollout(prompt: Tokens, rows: Sequence[_Growing]) -> Rollout:
    return Rollout(
        prompt=tuple(prompt),
        completions=tuple(tuple(row.tokens) for row in rows),
        logprobs=tuple(tuple(row.logprobs) for row in rows),
        finished=tuple(row.finished for row in rows),
        allowed=tuple(np.stack(row.allowed) if row.allowed else None for row in rows),
    )
