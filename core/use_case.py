"""What a product must say about itself; everything else is shared."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, get_args

from pydantic import Field, field_validator

from core.accounting import Accounting
from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.errors import ConfigError
from core.evaluation import Contest, EvaluationSettings
from core.exporting.config import ReleaseSettings
from core.files import digest
from core.record import Settings
from core.reports.story import Story
from core.reward import RewardSpec
from core.tracking import TrackingSettings
from core.training.config import (
    AdapterSettings,
    DpoSettings,
    GrpoSettings,
    KtoSettings,
    Method,
    PpoSettings,
    SftSettings,
)

Progress = Callable[[float, str], None]
"""Called with the share that is done, in [0, 1], and a few words."""


class Statistics(Protocol):
    """What lies in the store to train on."""

    columns: ClassVar[tuple[str, ...]]
    source: str

    @property
    def sentence(self) -> str:
        """What it comes to."""
        ...

    def lines(self) -> Iterable[Sequence[object]]:
        """The lines of a table."""
        ...


class UseCaseConfig(Settings):
    """The sections every use case has; a use case adds its own."""

    model: str
    """A file in configs/models, a hub id, or a local folder."""
    slot: str = "default"
    """Which champion of the use case this run competes for."""
    as_of: date | None = None
    """The day a run belongs to: every day draws items of its own, held-out ones too. Null draws the same each time.

    A run that its schedule started has the day it was scheduled for.
    """
    enough_rows: int = Field(default=1, ge=1)
    """With fewer rows to train on, a slot's part of a run ends as 'not enough data'."""
    adapter: AdapterSettings
    sft: SftSettings
    grpo: GrpoSettings
    dpo: DpoSettings = DpoSettings()
    kto: KtoSettings = KtoSettings()
    ppo: PpoSettings = PpoSettings()
    evaluation: EvaluationSettings
    release: ReleaseSettings
    tracking: TrackingSettings

    @field_validator("model", "slot")
    @classmethod
    def _named(cls, name: str) -> str:
        if not name.strip():
            raise ConfigError("is empty: give it a name, or leave it out")
        return name

    def seed_of_day(self, seed: int) -> int:
        """A seed for the run's day; without a day the seed itself."""
        return seed if self.as_of is None else int(digest(seed, self.as_of.isoformat())[:8], 16)


@dataclass(frozen=True, slots=True)
class UseCase:
    """One product: its settings, its rows, its rewards, its contest, and its part of the report.

    Every function takes the use case's own config first. Those that make a snapshot take the folder to write.
    """

    name: str
    title: str
    config: type[UseCaseConfig]
    collect: Callable[[Any, Path, Progress], Snapshot]
    """Rows from their source, parsed."""
    reward: Callable[[Any, Snapshot, Path, Progress], Snapshot]
    """What each completion of each row was worth."""
    groups: Callable[[Any, Method, Snapshot, Path], Snapshot]
    """The scored groups one of its methods trains on, split into train and test."""
    contest: Callable[[Any, Snapshot | None, Mapping[str, Checkpoint], Progress], tuple[Contest, Contest]]
    """The entrants and the use case's own baselines on the same held-out items; and a baseline against itself.

    The items are the held-out ones of the rewards given, where the rows are `stored`; else it has its own.
    It plays, and asks `core.evaluation` where to look (`plan_looks`) and whether it may end there (`is_enough`).
    """
    replay: Callable[[Any, Snapshot], tuple[dict[str, Any], ...]]
    """Held-out prompts with their legal completions, for the check of an exported file."""
    sections: Callable[[Any, Story], tuple[str, ...]]
    """The parts of the report that only this use case can write, as markdown."""
    reads: Mapping[str, tuple[str, ...]]
    """The config sections each stage reads: what its cache key holds. The methods that it has rows for are those with a
    stage 'groups-METHOD'."""
    rewards: Callable[[Any], RewardSpec] | None = None
    """What its rewards are made of, where its rows lie in the store: the nights then keep its part of the ledger."""
    gather: Callable[[Any, str | None, Progress], Accounting] | None = None
    """Bring what is new or changed at their source into the store (the run's id goes with it); what became of every row."""
    from_app: Callable[[Any], bool] | None = None
    """Whether what it gathers is an app's, and no generator's: then the nights of the ledger begin with it."""
    rows_of: Callable[[Any], str] | None = None
    """The source whose rows a run is about."""
    known_until: Callable[[Any], datetime] | None = None
    """The moment up to which a run knows what happened."""
    statistics: Callable[[Any], Statistics] | None = None
    """How much of what lies in the store there is to train on."""
    stored: Callable[[Any, Snapshot], None] | None = None
    """For rows that lie in the store, which changes: collecting is never found done, and this notes which stored rows a
    collected snapshot holds. None where rows follow from the settings."""
    line: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """A row of one of its groups as the apps' own exports have it."""
    too_few: Callable[[Any, Method, Snapshot], str | None] | None = None
    """Why a method's rows are not worth a training, where they can be too few for one."""
    exam: Callable[[Any, Snapshot, Path], Snapshot] | None = None
    """The rows of a file that a person gives, as held-out rows of its contest."""
    choices: bool = False
    """Whether each row's completions are all the legal answers of a choice; else they are texts."""
    loss_targets: Mapping[str, float] = field(default_factory=dict)
    """By method, the training loss that was promised: a line in the picture of its curve."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """The training methods that it has rows for."""
        return tuple(method for method in get_args(Method) if f"groups-{method}" in self.reads)

    def needed_exam(self) -> Callable[[Any, Snapshot, Path], Snapshot]:
        """What makes a file's rows held-out rows of its contest. Raises: ConfigError."""
        if self.exam is None:
            raise ConfigError(f"{self.name} has no contest about the rows of a file: play its own instead")
        return self.exam

    def need_lines(self) -> None:
        """Make sure that its rows can be written as an app's own. Raises: ConfigError."""
        if self.line is None:
            raise ConfigError(f"{self.name} has no app whose lines its rows could be: export them as groups")

    def need_method(self, method: Method) -> None:
        """Make sure that there are rows for a method. Raises: ConfigError."""
        if method not in self.methods:
            raise ConfigError(
                f"{self.name} has no rows for {method}: choose one of {', '.join(self.methods)}"
            )
