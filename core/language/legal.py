"""What a completion may say next: one of a few answers, or JSON by a schema (written by llguidance)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

from core.errors import ConfigError, DataError, ModelError, one_line
from core.language.distribution import Bits, only
from core.language.tree import Tokens

_WRITTEN: "JsonCompileOptions" = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Legal(Protocol):
    """What one completion may say next, as far as it has come."""

    def allowed(self) -> Bits:
        """The tokens it may go on with, packed: (bytes,)."""

    def take(self, token: int) -> bool:
        """Go on with an allowed token; whether the completion is whole now."""

    def again(self) -> Self:
        """The same for another completion that has come as far."""


@dataclass(slots=True)
class Choice:
    """One of a few answers, each of one token or more; one that another begins with ends with the stop token."""

    answers: tuple[Tokens, ...]
    stop: int | None
    vocabulary: int
    said: Tokens = ()

    def allowed(self) -> Bits:
        """(bytes,)."""
        return _allowed(self.answers, self.said, self.stop, self.vocabulary)

    def take(self, token: int) -> bool:
        """Whole when nothing longer begins with what was said."""
        if self.said in self.answers and token == self.stop:
            return True
        self.said += (token,)
        return self.said in self.answers and not _next(self.answers, self.said)

    def again(self) -> Self:
        """Answers never change; what was said is replaced, not changed."""
        return type(self)(self.answers, self.stop, self.vocabulary, self.said)


def choice(answers: Sequence[Tokens], stop: int | None, vocabulary: int, max_tokens: int) -> Choice:
    """A choice among legal answers. Raises: DataError for a choice that can't be made."""
    if not answers or () in answers:
        raise DataError("a choice without a legal answer, or with an empty one: leave such states out")
    inner = any(_next(answers, tuple(answer)) for answer in answers)
    if inner and stop is None:
        raise DataError(
            "a legal answer begins with another, and the tokenizer has no stop token to tell them apart"
        )
    needed = max(len(answer) for answer in answers) + (1 if inner else 0)
    if needed > max_tokens:
        raise DataError(f"a legal answer needs {needed} tokens and max_tokens is {max_tokens}: raise it")
    if max(token for answer in answers for token in answer) >= vocabulary:
        raise DataError(
            f"a legal answer holds a token beyond the model's {vocabulary}: use the model's own tokenizer"
        )
    return Choice(tuple(dict.fromkeys(map(tuple, answers))), stop, vocabulary)


@lru_cache(maxsize=4096)
def _allowed(answers: tuple[Tokens, ...], said: Tokens, stop: int | None, vocabulary: int) -> Bits:
    tokens = _next(answers, said)
    if said in answers and stop is not None:
        tokens = tokens | {stop}
    return only(sorted(tokens), vocabulary)


def _next(answers: Sequence[Tokens], said: Tokens) -> set[int]:
    """The tokens that go on from what was said towards an answer."""
    length = len(said)
    return {answer[length] for answer in answers if len(answer) > length and tuple(answer[:length]) == said}


@dataclass(slots=True)
class JsonText:
    """JSON that a schema accepts, so far."""

    matcher: LLMatcher
    vocabulary: int

    def allowed(self) -> Bits:
        """(bytes,)."""
        bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        _check(self.matcher)
        return bits[: (self.vocabulary + 7) // 8]

    def take(self, token: int) -> bool:
        """Whole when nothing can follow but the stop token."""
        self.matcher.consume_token(token)
        _check(self.matcher)
        return self.matcher.is_stopped()

    def again(self) -> Self:
        """A copy of the parser."""
        return type(self)(self.matcher.deep_copy(), self.vocabulary)


def json_text(
    schema: dict[str, Any], tokenizer: PreTrainedTokenizerBase, stops: Sequence[int], vocabulary: int
) -> JsonText:
    """A parser at the beginning of a text. Raises: ConfigError for a schema that is none; ModelError."""
    return JsonText(_matcher(json.dumps(schema), tokenizer, tuple(stops), vocabulary).deep_copy(), vocabulary)


@lru_cache(maxsize=64)
def _matcher(schema: str, tokenizer: PreTrainedTokenizerBase, stops: Tokens, vocabulary: int) -> LLMatcher:
    grammar = LLMatcher.grammar_from_json_schema(schema, overrides=_WRITTEN)
    matcher = LLMatcher(_words(tokenizer, stops, vocabulary), grammar)
    if matcher.is_error():
        raise ConfigError(f"json_schema can't be used: {one_line(ValueError(matcher.get_error()))}")
    return matcher


@lru_cache(maxsize=4)
def _words(tokenizer: PreTrainedTokenizerBase, stops: Tokens, vocabulary: int) -> LLTokenizer:
    if not stops:
        raise ModelError("JSON by a schema needs a tokenizer with a stop token: set its eos_token")
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            "JSON by a schema needs a fast tokenizer (a tokenizer.json): convert the model's own"
        )
    try:
        return from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=list(stops))
    except ValueError as error:
        raise ModelError(f"this tokenizer can't write JSON by a schema: {one_line(error)}") from error


def _check(matcher: LLMatcher) -> None:
    if matcher.is_error():
        raise DataError(
            f"the JSON parser gave up on a completion: {one_line(ValueError(matcher.get_error()))}"
        )
