"""A policy that chooses: one forward pass over the prompt, a softmax over the legal letters. It can't answer anything else."""

from collections.abc import Sequence

import numpy as np
import torch

from core.checkpoint import Checkpoint
from core.errors import DataError
from core.language.config import model_config
from core.language.dtype import choose_dtype
from core.language.group import group_logprobs
from core.language.model import FloatType, load_checkpoint, pick_device
from core.language.row import TokenGroup, slices
from core.language.tokens import letter_token, prompt_tokens

Probabilities = np.ndarray[tuple[int], np.dtype[np.float64]]


class ChoicePolicy:
    """A checkpoint that chooses among letters. Raises: ModelError when it can't be loaded."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        dtype: str = "auto",
        device: torch.device | None = None,
        row_tokens: int = 1024,
    ) -> None:
        self.checkpoint = checkpoint
        self.tokens_read = 0
        """Prompt tokens answered so far."""
        device = device or pick_device()
        self._row_tokens = row_tokens
        self._loaded = load_checkpoint(checkpoint, answering_dtype(checkpoint, dtype, device), device)

    def probabilities(self, prompts: Sequence[str], legal: Sequence[Sequence[str]]) -> list[Probabilities]:
        """For each prompt, the probability of each of its legal answers.

        Raises: ModelError when a legal answer is not one token; DataError for a prompt without legal answers.
        """
        groups = [self._group(prompt, answers) for prompt, answers in zip(prompts, legal, strict=True)]
        found: list[Probabilities] = []
        for part in slices(groups, self._row_tokens):
            row = groups[part]
            with torch.inference_mode():
                logprobs_N = group_logprobs(self._loaded.model, row).cpu().double()
            sizes = [len(group.completions) for group in row]
            found += [part.softmax(0).numpy() for part in logprobs_N.split(sizes)]
            self.tokens_read += sum(len(group.prompt) for group in row)
        return found

    def _group(self, prompt: str, answers: Sequence[str]) -> TokenGroup:
        if not answers:
            raise DataError(f"a choice without a legal answer: {prompt[-80:]!r}; leave such states out")
        tokenizer = self._loaded.tokenizer
        tokens = prompt_tokens(tokenizer, prompt)
        if len(tokens) >= self._loaded.context_length:
            raise DataError(
                f"a prompt of {len(tokens)} tokens is longer than the model's context of {self._loaded.context_length}: "
                "shorten what is rendered"
            )
        return TokenGroup(tokens, tuple((letter_token(tokenizer, answer),) for answer in answers))


def answering_dtype(checkpoint: Checkpoint, wanted: str, device: torch.device) -> FloatType:
    """What was asked for, else what the checkpoint was trained in, else the faster one."""
    trained_in = checkpoint.notes.get("dtype")
    if wanted == "auto" and trained_in in ("bf16", "fp32"):
        wanted = trained_in
    return choose_dtype(model_config(checkpoint.base_model), wanted, device).dtype
