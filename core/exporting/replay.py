"""The same prompts read by the model as trained and by an exported file: next-token log-probabilities of each."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.exporting.config import ReplayPrompt
from core.language.tokens import letter_token, prompt_tokens

LogProbs = npt.NDArray[np.float32]
"""Computed in float64, kept in float32."""


AT_ONCE = 2
"""Readers that work side by side. Two with half the cores each beat one with all: threads that wait for each other
spin, and where another process wants the core too they take ten times as long (measured)."""


def reader_threads() -> int:
    """Threads for each reader, so that together they take every core."""
    return max(1, (os.cpu_count() or 1) // AT_ONCE)


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt's tokens, and the tokens of the answers that were legal after it."""

    tokens: tuple[int, ...]
    answers: tuple[int, ...]
    every_position: bool
    """Compare the distribution at every token, not only at the last."""


class Reader(Protocol):
    """Whatever can say how likely each next token is."""

    def log_probabilities(self, prompt: EncodedPrompt) -> LogProbs:
        """Natural log-probabilities (T, V) at every position, or (1, V) at the last."""


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[ReplayPrompt], token_positions: int
) -> list[EncodedPrompt]:
    """Prompts as tokens; the first of them, up to `token_positions` tokens, are compared at every position.

    Raises: ModelError when an answer is not one token.
    """
    encoded, left = [], token_positions
    for row in prompts:
        tokens = prompt_tokens(tokenizer, row.prompt)
        answers = tuple(letter_token(tokenizer, answer) for answer in row.completions)
        encoded.append(EncodedPrompt(tokens, answers, every_position=left > 0))
        left -= len(tokens)
    return encoded


class TransformersReader:
    """A model read by transformers, in float32: the reference."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def log_probabilities(self, prompt: EncodedPrompt) -> LogProbs:
        """See `Reader`."""
        ids_1_T = torch.tensor([prompt.tokens])
        with _torch_threads(reader_threads()), torch.inference_mode():
            logits_T_V = self._model(ids_1_T, logits_to_keep=0 if prompt.every_position else 1).logits[0]
            return torch.log_softmax(logits_T_V.double(), dim=-1).float().numpy()


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_memory() -> None:
    """Drop the weights nobody holds any more before the next are loaded."""
    gc.collect()
