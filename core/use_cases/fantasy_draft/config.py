"""The settings of the fantasy draft."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from core.files import file_digest
from core.record import Record
from core.use_case import UseCaseConfig
from core.use_cases.fantasy_draft.draft import OpponentField
from core.use_cases.fantasy_draft.rewards import RewardName


class PlayersSettings(Record):
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

    @model_validator(mode="before")
    @classmethod
    def _with_digest(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("source") == "file" and values.get("path"):
            path = Path(str(values["path"])).expanduser()
            return values | {"sha256": file_digest(path) if path.is_file() else None}
        return values

    @model_validator(mode="after")
    def _held_out(self) -> Self:
        if self.source in ("nflgame", "nflverse") and self.test_season in self.train_seasons:
            raise ValueError(f"test_season {self.test_season} is also in train_seasons: hold it out")
        if self.source == "file" and not self.path:
            raise ValueError("source 'file' needs a path: set players.path to a JSON or CSV file of players")
        return self


class CollectSettings(Record):
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


class RewardSettings(Record):
    """What a pick is worth."""

    name: RewardName = "roster_value"
    boards: int = Field(default=4, ge=1)
    """Sets of opponents that every candidate of a scenario faces alike."""


class ContestSettings(Record):
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
