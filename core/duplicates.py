"""Texts that say almost the same: found by MinHash (Broder 1997), so that memory grows with the number of texts, not their size."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

from rensa import RMinHash, RMinHashDeduplicator

PERMUTATIONS = 128
"""The likeness of two texts is known to about 1 / sqrt(128), and better near 1."""
BANDS = 16
"""Of 8 permutations each: two texts of likeness 0.9 agree in one of them in all but 1 case in 8,000."""
SEED = 42
WORD = re.compile(r"\w+")


class Seen:
    """The texts that were met so far; `likeness` is the Jaccard index, of words and pairs of words, that makes two one."""

    def __init__(self, likeness: float) -> None:
        self._known = RMinHashDeduplicator(likeness, PERMUTATIONS, use_lsh=True, num_bands=BANDS, seed=SEED)
        self._count = 0

    def is_new(self, text: str) -> bool:
        """Whether no text like it was met; from then on it was."""
        self._count += 1
        return bool(self._known.add(str(self._count), _sketch(text)))

    def knows(self, text: str) -> bool:
        """Whether a text like it was met."""
        return bool(self._known.is_duplicate("asked", _sketch(text)))

    def add(self, texts: Iterable[str]) -> None:
        """Meet some texts."""
        for text in texts:
            self.is_new(text)


def _sketch(text: str) -> RMinHash:
    sketch = RMinHash(PERMUTATIONS, SEED)
    sketch.update(list(_tokens(text)))
    return sketch


def _tokens(text: str) -> Iterator[str]:
    """Words in lower case and one normal form, then each pair of neighbours; a text without words is its own only token."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    yield from words or [text]
    yield from map(" ".join, pairwise(words))
