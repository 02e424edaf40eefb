"""The settings of the fantasy draft."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from core.errors import ConfigError
from core.evaluation import EvaluationSettings
from core.files import file_digest
from core.record import Settings
from core.use_case import UseCaseConfig
from core.use_cases.fantasy_draft.baselines import check_evaluation
from core.use_cases.fantasy_draft.draft import OpponentField
from core.use_cases.fantasy_draft.nflgame import nflgame_seasons
from core.use_cases.fantasy_draft.nflverse import nflverse_seasons
from core.use_cases.fantasy_draft.rewards import RewardName

SUM_TOLERANCE = 1e-9
"""What rounding may add to shares that sum to one."""


class PlayersSettings(Settings):
    """Where players come from."""

    source: Literal["synthetic", "nflgame", "nflverse", "file"] = "synthetic"
    train_seasons: tuple[int, ...] = (2017, 2018)
    """Real seasons whose boards are trained on ('nflgame', 'nflverse')."""
    test_season: int = 2019
    """The real season whose board is held out for the contest."""
    path: str | None = None
    """The JSON or CSV file of players ('file')."""
    sha256: str | None = None
    """Of that file, filled in when the config is read: other contents are other players."""

    @property
    def file(self) -> Path:
        """Where the list of players lies ('file')."""
        return Path(self.path or "").expanduser()

    @model_validator(mode="before")
    @classmethod
    def _with_digest(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("source") != "file":
            return values
        path = values.get("path")
        if path is not None and not isinstance(path, str):
            return values
        return values | {"sha256": _digest_of_players(path or "")}

    @model_validator(mode="after")
    def _seasons_can_be_had(self) -> Self:
        """Real seasons: each has a board in what is installed, and the one that is held out is not trained on."""
        if self.source == "nflgame":
            _check_seasons(self, nflgame_seasons())
        elif self.source == "nflverse":
            _check_seasons(self, nflverse_seasons())
        return self


def _digest_of_players(path: str) -> str:
    remedy = "set players.path to a JSON or CSV file of players"
    if not path.strip():
        raise ConfigError(f"source 'file' needs a path: {remedy}")
    try:
        file = Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"path {path} starts at the home of a user who doesn't exist: {remedy}") from error
    if file.is_dir():
        raise ConfigError(f"path {file} is a folder: {remedy}")
    try:
        return file_digest(file)
    except FileNotFoundError as error:
        raise ConfigError(f"path {file} doesn't exist: {remedy}") from error
    except OSError as error:
        raise ConfigError(f"path {file} can't be read ({error.strerror}): {remedy}") from error


def _check_seasons(players: PlayersSettings, known: range) -> None:
    train, test = players.train_seasons, players.test_season
    if not train:
        raise ConfigError("train_seasons is empty: name at least one season to train on")
    if len(set(train)) < len(train):
        raise ConfigError(f"train_seasons {list(train)} names a season twice: name each once")
    if test in train:
        raise ConfigError(f"test_season {test} is also in train_seasons: hold it out")
    for name, seasons in (("train_seasons", train), ("test_season", (test,))):
        if unknown := [str(season) for season in seasons if season not in known]:
            raise ConfigError(
                f"{name} {', '.join(unknown)}: source '{players.source}' has boards for {known[0]} to {known[-1]} "
                "(a board needs the three seasons before it): choose among them"
            )


class CollectSettings(Settings):
    """Which decisions are collected."""

    examples: int = Field(ge=1)
    """Decisions of the teacher to imitate."""
    test_examples: int = Field(default=200, ge=1)
    """Held-out ones, for the loss curve and the choice of the checkpoint."""
    drafts: int = Field(ge=1)
    """Drafts whose decisions are scored."""
    scenarios: int | None = Field(default=None, ge=1)
    """How many of those decisions, drawn over all rounds; null takes all."""
    test_drafts: int = Field(ge=1)
    """Held-out drafts, for the regret curve and the choice of the checkpoint."""
    noise: float = Field(default=0.15, ge=0, le=1)
    """Share of picks left to chance on the way, so that states a learner will meet are seen."""
    temperature: float = Field(default=0.3, ge=0)
    """Of the teacher's soft labels, in points a game; 0 puts all weight on his choice."""
    seed: int = Field(default=1, ge=0)


class RewardSettings(Settings):
    """What a pick is worth."""

    name: RewardName = "roster_value"
    boards: int = Field(default=4, ge=1)
    """Sets of opponents that every candidate of a scenario faces alike."""


class ContestSettings(Settings):
    """The held-out tournament. Seats are balanced when `leagues` is a multiple of 12."""

    leagues: int = Field(ge=1)
    seasons: int = Field(ge=1)
    """Simulated seasons a league: free, and they remove luck."""
    seed: int = Field(default=31337, ge=0)


class FantasyDraftConfig(UseCaseConfig):
    """Everything a run of the fantasy draft can be told."""

    players: PlayersSettings
    field: OpponentField
    collect: CollectSettings
    reward: RewardSettings
    contest: ContestSettings

    @field_validator("evaluation")
    @classmethod
    def _known_names(cls, settings: EvaluationSettings) -> EvaluationSettings:
        return check_evaluation(settings)

    @field_validator("field")
    @classmethod
    def _shares_of_one_field(cls, field: OpponentField) -> OpponentField:
        if (both := field.casual_share + field.sharp_share) > 1 + SUM_TOLERANCE:
            raise ConfigError(
                f"casual_share {field.casual_share} and sharp_share {field.sharp_share} are shares of the same "
                f"managers, and sum to {both:g}: let them sum to 1 at most"
            )
        return field
