"""The distribution that the tokens of whole groups were drawn from, for the ratio to stand in the same one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from core.errors import DataError
from core.language.distribution import Bits, holds
from core.language.row import TokenGroup
from core.language.tree import Tokens

Allowed = Sequence[Bits | None]
"""For each completion of a group, what every token could have been (core/language/rollout.py); None: anything."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The distribution that completion tokens were drawn from; M counts the tokens that were not free."""

    temperature: float = 1.0
    token_M: Tensor | None = None
    allowed_M_W: Tensor | None = None

    @classmethod
    def of(
        cls,
        groups: Sequence[TokenGroup],
        allowed: Sequence[Allowed] | None,
        temperature: float,
        device: torch.device,
    ) -> Self:
        """The sets of a row's tokens. Raises: DataError for a token outside its set."""
        if allowed is None:
            return cls(temperature)
        token_M: list[int] = []
        bits: list[Bits] = []
        start = 0
        for group, sets in zip(groups, allowed, strict=True):
            for completion, own in zip(group.completions, sets, strict=True):
                if own is not None:
                    _check(completion, own)
                    token_M += range(start, start + len(completion))
                    bits.append(own)
                start += len(completion)
        if not bits:
            return cls(temperature)
        allowed_M_W = torch.from_numpy(np.concatenate(bits)).to(device)
        return cls(temperature, torch.tensor(token_M, device=device), allowed_M_W)


FREE = Drawing()
"""Any token, at temperature 1."""


def _check(completion: Tokens, allowed: Bits) -> None:
    if len(allowed) != len(completion) or not holds(allowed, completion).all():
        raise DataError("a completion holds a token outside its allowed set: give the rollout's own sets")
