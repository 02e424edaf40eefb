"""What an evaluation compares and how sure it must be."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from core.record import Settings
from core.statistics import MOST_LOOKS

Level = Annotated[float, Field(gt=0, lt=1)]


class EvaluationSettings(Settings):
    """The plan of a comparison, made before the rows are looked at. More of a metric is better."""

    primary_metric: str
    candidate: str = "candidate"
    """The policy that wants to be promoted."""
    incumbent: str = "incumbent"
    """The policy in use; the untrained model when there is none yet."""
    literal_against: str | None = None
    """The policy of the two-sample test of proportions; the incumbent when not given."""
    alpha: Level = 0.05
    power: Level = 0.8
    worthwhile: Annotated[float, Field(ge=0)] = 0.0
    """The smallest gain of the primary metric worth a promotion: an interval wholly below it is 'not better'."""
    looks: Annotated[int, Field(ge=1, le=MOST_LOOKS)] = 1
    """Planned O'Brien-Fleming looks, at each of which the contest may end; 1 is a fixed design."""
    invalid_rate_limit: Annotated[float, Field(ge=0, le=1)] = 0.02
    """A candidate with more invalid or substituted decisions than this, of those it was asked for, is not better."""
    invalid_rate_margin: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Nor is one whose share of them is above the incumbent's by more than this, however good the others are."""

    @model_validator(mode="after")
    def _two_policies(self) -> Self:
        if self.candidate == self.incumbent:
            raise ValueError(
                f"'{self.candidate}' can't be compared with itself: name candidate and incumbent apart"
            )
        return self

    @property
    def stopping(self) -> dict[str, Any]:
        """What decides when a contest ends, and so belongs to what a contest is; nothing with a single look."""
        deciding = {"primary_metric", "candidate", "incumbent", "alpha", "looks"}
        return self.model_dump(include=deciding) if self.looks > 1 else {}


def check_names(
    settings: EvaluationSettings, metrics: Sequence[str], policies: Sequence[str]
) -> EvaluationSettings:
    """Settings that name only what a use case's contest measures and who always plays in it.

    For the validator of the use case's config, so that a mistyped name is refused before any work.
    Raises: ValueError that offers the choices.
    """
    if settings.primary_metric not in metrics:
        raise ValueError(_unknown("primary_metric", settings.primary_metric, metrics))
    for key in ("candidate", "incumbent", "literal_against"):
        name = getattr(settings, key)
        if name is not None and name not in policies:
            raise ValueError(_unknown(key, name, policies))
    return settings


def _unknown(key: str, name: str, choices: Sequence[str]) -> str:
    return f"{key} '{name}' is not in this contest: choose one of {', '.join(choices)}"
