"""Text to token ids and back: a prompt, and completions as they read after one."""

from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from core.errors import ModelError

_BEFORE = ":"


@lru_cache(maxsize=65536)
def completion_tokens(tokenizer: PreTrainedTokenizerBase, completion: str) -> tuple[int, ...]:
    """A completion's ids, read where it stands: after other text.

    Some tokenizers (SentencePiece) put a space before whatever comes first, so a completion must not come first.
    """
    before = tokenizer.encode(_BEFORE, add_special_tokens=False)
    together = tokenizer.encode(_BEFORE + completion, add_special_tokens=False)
    if together[: len(before)] == before:
        return tuple(together[len(before) :])
    return tuple(tokenizer.encode(completion, add_special_tokens=False))


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str) -> tuple[int, ...]:
    """A prompt's ids, with the special tokens the model expects at the start (Llama 3's, say)."""
    return tuple(tokenizer.encode(prompt))


def letter_token(tokenizer: PreTrainedTokenizerBase, letter: str) -> int:
    """The one token of an answer that is chosen, not written. Raises: ModelError when it takes several."""
    tokens = completion_tokens(tokenizer, letter)
    if len(tokens) != 1:
        raise ModelError(
            f"the answer {letter!r} is {len(tokens)} tokens in this model's tokenizer: "
            "a choice needs answers of one token, such as ' A'"
        )
    return tokens[0]


def completion_text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """What tokens say where they stand: after other text, with special tokens written out."""
    before = tokenizer.encode(_BEFORE, add_special_tokens=False)
    alone, together = (
        str(tokenizer.decode(part, clean_up_tokenization_spaces=False))
        for part in (before, [*before, *tokens])
    )
    return together.removeprefix(alone)
