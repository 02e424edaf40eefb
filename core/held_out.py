"""What a row is for, by a hash of whom or what it belongs to."""

import hashlib
from functools import lru_cache

TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""Is trained on; chooses the best checkpoint; is for the evaluation alone."""
SPLITS = (TRAIN, VALIDATION, TEST)


@lru_cache(maxsize=4096)
def split_of(unit: str, test: float, validation: float = 0.0) -> str:
    """What all of a unit's rows are for (a user's, a scenario's), for ever: whoever else is there, and however many.

    `test` and `validation` are shares of all units; raising one moves only units that lie between.
    """
    place = int.from_bytes(hashlib.blake2b(unit.encode(), digest_size=8).digest(), "big") / 2**64
    if place < test:
        return TEST
    return VALIDATION if place < test + validation else TRAIN
