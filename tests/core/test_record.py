"""What a record may hold."""

import math

import pytest
from pydantic import Field, ValidationError

from core.record import Record, Settings


class Chosen(Settings):
    """A number that a person chooses."""

    rate: float = Field(gt=0)


class Measured(Record):
    """A number that came out."""

    loss: float


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "inf", "nan"])
def test_settings_are_numbers_and_what_was_measured_may_be_none(value):
    """Infinity is above 0 and means nothing; a loss that became infinite is told as it is."""
    with pytest.raises(ValidationError, match=r"rate\n.*finite number"):
        Chosen(rate=value)
    assert not math.isfinite(Measured(loss=value).loss)
    with pytest.raises(ValidationError, match="frozen"):
        Chosen(rate=0.5).rate = value  # type: ignore[misc]
