"""A policy that reads: how likely a model finds given answers, each after its prompt."""

from collections.abc import Callable, Sequence

import torch

from core.checkpoint import Checkpoint
from core.errors import DataError
from core.language.choice import answering_dtype
from core.language.group import group_logprobs
from core.language.model import load_checkpoint, pick_device
from core.language.row import TokenGroup, slices
from core.language.tokens import completion_tokens, prompt_tokens

ROW_TOKENS = 1024
"""Tokens that are computed at once."""


class Reader:
    """A checkpoint that is asked what it thinks of answers. Raises: ModelError when it can't be loaded."""

    def __init__(
        self, checkpoint: Checkpoint, *, dtype: str = "auto", device: torch.device | None = None
    ) -> None:
        device = device or pick_device()
        self._loaded = load_checkpoint(checkpoint, answering_dtype(checkpoint, dtype, device), device)
        self.tokens_read = 0
        """Tokens of prompts and answers read so far."""

    def logprobs(
        self,
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        told: Callable[[int], None] = lambda _count: None,
    ) -> list[list[float]]:
        """For each prompt the log-probability of each of its answers, in nats, summed over the answer's tokens.

        Each prompt is computed once. `told` is called with how many more prompts there are. Raises: DataError for a prompt
        without answers, an empty answer, or one that does not fit into the model's context.
        """
        groups = [self._group(prompt, texts) for prompt, texts in zip(prompts, answers, strict=True)]
        found: list[list[float]] = []
        for part in slices(groups, ROW_TOKENS):
            row = groups[part]
            with torch.inference_mode():
                logprobs_N = group_logprobs(self._loaded.model, row).cpu().double()
            lengths = [len(completion) for group in row for completion in group.completions]
            sums = [float(each.sum()) for each in logprobs_N.split(lengths)]
            for group in row:
                found.append(sums[: len(group.completions)])
                del sums[: len(group.completions)]
                self.tokens_read += len(group.prompt) + sum(map(len, group.completions))
            told(len(row))
        return found

    def _group(self, prompt: str, answers: Sequence[str]) -> TokenGroup:
        tokenizer, context = self._loaded.tokenizer, self._loaded.context_length
        group = TokenGroup(
            prompt_tokens(tokenizer, prompt),
            tuple(completion_tokens(tokenizer, answer) for answer in answers),
        )
        if not group.completions or not all(group.completions):
            raise DataError(
                f"a prompt without an answer, or an empty one: {prompt[-80:]!r}; leave such rows out"
            )
        if group.longest > context:
            raise DataError(
                f"a prompt of {len(group.prompt)} tokens and its answers are longer than the model's context of {context}: "
                "shorten what is rendered"
            )
        return group
