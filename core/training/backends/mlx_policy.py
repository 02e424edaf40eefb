"""A checkpoint that writes its answers in MLX, on Apple silicon."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
from mlx_lm.generate import batch_generate
from mlx_lm.sample_utils import make_sampler
from mlx_lm.tokenizer_utils import TokenizerWrapper

from core.checkpoint import Checkpoint
from core.errors import DataError
from core.language.config import model_config
from core.language.model import load_tokenizer, model_folder
from core.language.tokens import prompt_tokens
from core.training.backends.mlx_model import context_length, load_weights, pick_type, put_adapter, stop_tokens


@dataclass(frozen=True, slots=True)
class Written:
    """One answer, without the token that ended it."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Of every token under the policy at temperature 1."""
    finished: bool
    """False: cut at `max_tokens`."""


class MlxPolicy:
    """A checkpoint loaded in MLX, its adapter on the base as it was trained. Raises: ModelError when it can't be."""

    def __init__(self, checkpoint: Checkpoint, dtype: str = "auto") -> None:
        config = model_config(checkpoint.base_model)
        adapted = checkpoint.kind == "adapter"
        folder = model_folder(config) if adapted else Path(checkpoint.path)
        self.checkpoint = checkpoint
        self.context_length = context_length(config, folder)
        self._model = load_weights(folder, pick_type(dtype)[0])
        if adapted:
            put_adapter(self._model, Path(checkpoint.path))
        self._model.eval()
        self._tokenizer = load_tokenizer(folder)
        self._stops = stop_tokens(folder)

    def write(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[Written]:
        """One answer to each prompt, all prompts as one batch; temperature 0 is the likeliest token each time.

        Raises: DataError for a prompt that leaves no room for `max_tokens`.
        """
        tokens = [prompt_tokens(self._tokenizer, prompt) for prompt in prompts]
        longest = max(map(len, tokens), default=0)
        if longest + max_tokens > self.context_length:
            raise DataError(
                f"a prompt of {longest} tokens leaves no room for {max_tokens} in the model's context of "
                f"{self.context_length}: shorten it, or lower max_tokens"
            )
        mx.random.seed(seed)
        answers = batch_generate(
            self._model,
            TokenizerWrapper(self._tokenizer, eos_token_ids=self._stops),
            [list(prompt) for prompt in tokens],
            max_tokens=max_tokens,
            sampler=make_sampler(temp=temperature, top_p=top_p),
            return_token_ids=True,
            return_logprobs=True,
        )
        written = zip(answers.texts, answers.token_ids, answers.logprobs, strict=True)
        return [
            Written(text, tuple(ids), tuple(logprobs), finished=len(ids) < max_tokens)
            for text, ids, logprobs in written
        ]
