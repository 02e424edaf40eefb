"""How many tokens a text is, asked only where it could matter."""

from functools import cached_property

from transformers import PreTrainedTokenizerBase

from core.language.config import model_config
from core.language.model import load_tokenizer, model_folder
from core.language.tokens import prompt_tokens


class TokenCounter:
    """Counts by a model's own tokenizer, which is loaded for the first text that may be too long."""

    def __init__(self, model: str) -> None:
        self._model = model

    def at_most(self, text: str, limit: int) -> bool:
        """Whether a text is no more than `limit` tokens: surely so when it has no more bytes. Raises: ModelError."""
        return len(text.encode()) < limit or len(prompt_tokens(self._tokenizer, text)) <= limit

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(model_folder(model_config(self._model)))
