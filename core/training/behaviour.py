"""The policy that drew logged completions, as the log-probabilities it gave their tokens."""

import math
from collections import Counter
from typing import Literal

from core.dataset import ScoredGroup
from core.language.row import TokenGroup

Known = Literal["logged", "not logged", "other tokens"]
"""What is known of a completion: its tokens' log-probabilities, nothing, or those of other tokens than this model's."""


def token_behaviour(row: ScoredGroup, tokens: TokenGroup, known: Counter[Known]) -> tuple[float, ...]:
    """A row's logged log-probabilities, completion after completion, NaN for those without; nothing when all are.

    `known` counts the completions. Whether tokens are the same is judged by their number.
    """
    found: list[float] = []
    for completion, logprobs in zip(
        tokens.completions, row.behaviour or (None,) * len(row.completions), strict=True
    ):
        what = _known(completion, logprobs)
        known[what] += 1
        found += logprobs if logprobs is not None and what == "logged" else [math.nan] * len(completion)
    return () if all(map(math.isnan, found)) else tuple(found)


def _known(completion: tuple[int, ...], logprobs: tuple[float, ...] | None) -> Known:
    if logprobs is None:
        return "not logged"
    return "logged" if len(logprobs) == len(completion) else "other tokens"
