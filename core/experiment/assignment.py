"""Which arm a user is in: the same one at every call, in every process, on every machine, without a database."""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import accumulate

from core.errors import DataError
from core.experiment.settings import Arm, ExperimentSettings

SEPARATOR = "\x1f"
"""Between name, salt and user: neither of the first two may hold it."""
RESOLUTION = 2**53
"""Places on the line from 0 to 1; a double holds each exactly."""


def assign(experiment: ExperimentSettings, user: str) -> Arm:
    """The arm of a user; `user` is the id that the app stores as the rater with each rating.

    A user is a place in [0, 1), an arm an interval as long as its share. The control lies in the middle, the others
    from both ends inwards in their order, so a share moved between the control and one of up to two others moves
    just so many users between these two arms and nobody else; with more arms that holds for the last two.
    Raises: DataError for a user without a name.
    """
    if not user:
        raise DataError(f"experiment '{experiment.name}' was asked for a user without an id: give one")
    place = place_of(experiment, user)
    for end, arm in _intervals(experiment):
        if place < end:
            return arm
    return arm


def place_of(experiment: ExperimentSettings, user: str) -> float:
    """Where a user lies in [0, 1), evenly spread and independent of every other experiment's place.

    The first 53 bits of the 8-byte BLAKE2b digest of name, salt and user in UTF-8 with U+001F between, big-endian.
    """
    key = SEPARATOR.join((experiment.name, experiment.salt, user)).encode("utf-8", "surrogatepass")
    return (int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> 11) / RESOLUTION


def _intervals(experiment: ExperimentSettings) -> Iterator[tuple[float, Arm]]:
    """Each arm that has a share, with the end of its interval, from left to right."""
    others = experiment.treatments
    line = (*others[::2], experiment.controlling, *reversed(others[1::2]))
    shared = [arm for arm in line if arm.share > 0]
    return zip(accumulate(arm.share for arm in shared), shared, strict=True)
