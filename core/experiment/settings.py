"""What an experiment compares: arms, their shares of the users, and how sure its verdict must be."""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from core.config import CONFIGS, read_yaml, validate
from core.errors import ConfigError
from core.record import Settings

CHAMPION, PREVIOUS, UNTRAINED = "champion", "previous", "untrained"
ROLES = (CHAMPION, PREVIOUS, UNTRAINED)
"""Models that are named by their part in a slot's history; every other name is a version."""
EXPERIMENTS = CONFIGS / "experiments.yaml"
"""Where experiments are kept unless a person names another file."""
ROUNDING = 1e-9
"""How far shares may be from a sum of one."""

Name = Annotated[str, Field(min_length=1, max_length=100)]
Level = Annotated[float, Field(gt=0, lt=1)]


class Arm(Settings):
    """Those users of an experiment who get one model."""

    name: Name
    share: float = Field(ge=0, le=1)
    """Of the users; 0 is an arm that nobody is in yet, or any more."""
    model: Name
    """'champion', 'previous', 'untrained', or a version: what is stored with every rating of its answers."""


class ExperimentSettings(Settings):
    """The plan of an experiment, made before its ratings are looked at."""

    name: Name
    salt: str = ""
    """Another one deals the users anew."""
    arms: tuple[Arm, ...] = Field(min_length=2)
    """The one added last should grow first: see `assign`."""
    control: str = ""
    """The arm that the others are held against; the first when not given."""
    use_case: str | None = None
    """Whose models 'champion', 'previous' and 'untrained' are."""
    slot: str = "default"
    preset: str = "default"
    """Which names the untrained model."""
    since: datetime | None = None
    """From when on these shares were in force: ratings before are not looked at. UTC where no zone is given."""
    until: datetime | None = None
    alpha: Level = 0.05
    """Of all arms against the control and all nights together; 1 - alpha is the coverage of intervals."""
    typical_difference: float = Field(default=0.05, gt=0, le=1)
    """Of up-rates: about the difference that the experiment is there to find. It is found soonest."""
    worthwhile: float = Field(default=0.0, ge=0, le=1)
    """The smallest gain in up-rate worth a change: a sequence wholly below it is 'not better'."""
    mismatch_alpha: Level = 0.001
    """A smaller p-value of users against shares says that the experiment itself is broken.

    It is a plain test: looked at on 60 nights, .001 is passed in about 1 % of sound experiments.
    """

    @field_validator("name", "salt")
    @classmethod
    def _printable(cls, words: str) -> str:
        if not words.isprintable():
            raise ValueError(f"{words!r} holds letters that can't be printed: leave them out")
        return words

    @field_validator("since", "until")
    @classmethod
    def _zoned(cls, moment: datetime | None) -> datetime | None:
        return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _need_unique((arm.name for arm in self.arms), "arm")
        _need_unique((arm.model for arm in self.arms), "model")
        total = math.fsum(arm.share for arm in self.arms)
        if abs(total - 1) > ROUNDING:
            raise ValueError(f"the shares of '{self.name}' sum to {total:.6g}: let them sum to 1")
        names = [arm.name for arm in self.arms]
        if self.control and self.control not in names:
            raise ValueError(f"control '{self.control}' is no arm: choose one of {', '.join(names)}")
        if self.use_case is None and (roles := [arm.model for arm in self.arms if arm.model in ROLES]):
            raise ValueError(f"'{roles[0]}' is a use case's model: name the use_case, or give a version")
        if self.since and self.until and self.until <= self.since:
            raise ValueError(f"until {self.until} is not after since {self.since}")
        return self

    @property
    def controlling(self) -> Arm:
        """The arm that the others are held against."""
        return next((arm for arm in self.arms if arm.name == self.control), self.arms[0])

    @property
    def treatments(self) -> tuple[Arm, ...]:
        """The other arms, in their order."""
        return tuple(arm for arm in self.arms if arm is not self.controlling)


class Experiments(Settings):
    """All experiments of a file."""

    experiments: tuple[ExperimentSettings, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _need_unique((one.name for one in self.experiments), "experiment")
        return self

    def named(self, name: str) -> ExperimentSettings:
        """The experiment of that name. Raises: ConfigError that offers those there are."""
        for one in self.experiments:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.experiments)
        offer = (
            f"choose one of {known}" if known else "there are none yet, write it into the file of experiments"
        )
        raise ConfigError(f"unknown experiment '{name}': {offer}")


def load_experiments(path: Path = EXPERIMENTS) -> Experiments:
    """The experiments of a YAML file. Raises: ConfigError with every wrong key."""
    return validate(Experiments, read_yaml(path), str(path))


def _need_unique(names: Iterable[str], what: str) -> None:
    name, count = Counter(names).most_common(1)[0] if (names := tuple(names)) else ("", 1)
    if count > 1:
        raise ValueError(f"{what} '{name}' is there {count} times: each may be there once")
