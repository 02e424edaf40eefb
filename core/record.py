"""The base of whatever is stored or crosses a boundary."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen row with no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)
