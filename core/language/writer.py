"""A policy that writes: each prompt answered with the likeliest text, token by token, whatever has been trained into it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from core.checkpoint import Checkpoint
from core.language.choice import answering_dtype
from core.language.model import load_checkpoint, pick_device
from core.language.rollout import rollouts, stop_tokens
from core.language.sampling import SamplingSettings, before_stop
from core.language.tokens import completion_text, prompt_tokens

GREEDY = 1e-9
"""Probability to draw from: the likeliest token alone has more."""
BATCH = 32
"""Prompts that are answered together."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote, without what ended it."""

    text: str
    whole: bool
    """False where it was cut at the limit of tokens."""


class Writer:
    """A checkpoint that answers by text. Raises: ModelError when it can't be loaded."""

    def __init__(
        self, checkpoint: Checkpoint, *, dtype: str = "auto", device: torch.device | None = None
    ) -> None:
        device = device or pick_device()
        self._loaded = load_checkpoint(checkpoint, answering_dtype(checkpoint, dtype, device), device)
        self._stops = stop_tokens(self._loaded.model, self._loaded.tokenizer)
        self.tokens_read = 0
        """Prompt tokens read and tokens written so far."""

    def answers(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        stop: Sequence[str] = (),
        told: Callable[[int], None] = lambda _count: None,
    ) -> list[Answer]:
        """The likeliest answer to each prompt; `told` is called with how many more there are.

        A prompt that leaves no room for one is answered with nothing, cut. Raises: ModelError.
        """
        settings = SamplingSettings(top_p=GREEDY, max_tokens=max_tokens, stop=tuple(stop))
        tokens = [prompt_tokens(self._loaded.tokenizer, prompt) for prompt in prompts]
        room = self._loaded.context_length - max_tokens
        found = [Answer("", whole=False)] * len(prompts)
        fit = [place for place, prompt in enumerate(tokens) if 0 < len(prompt) <= room]
        for start in range(0, len(fit), BATCH):
            part = fit[start : start + BATCH]
            drawn = rollouts(
                self._loaded.model,
                self._loaded.tokenizer,
                [tokens[place] for place in part],
                1,
                settings,
                seeds=[0] * len(part),
            )
            for place, rollout in zip(part, drawn, strict=True):
                written = rollout.completions[0]
                self.tokens_read += len(tokens[place]) + len(written)
                found[place] = Answer(self._text(written, stop), rollout.finished[0])
            told(len(part))
        return found

    def _text(self, written: Sequence[int], stop: Sequence[str]) -> str:
        kept = written[:-1] if written and written[-1] in self._stops else written
        return before_stop(completion_text(self._loaded.tokenizer, kept), stop)
