"""The base of whatever is stored or crosses a boundary."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen row with no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(Record):
    """What a person chooses: no setting means anything at infinity, or where it is no number."""

    model_config = ConfigDict(allow_inf_nan=False)
