"""The settings of the decision agents."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from core.decision import AgentType
from core.errors import ConfigError
from core.evaluation import EvaluationSettings, check_names
from core.files import digest
from core.record import Settings
from core.reward import RewardSpec
from core.store.foreign.settings import SourceSettings
from core.use_case import UseCaseConfig

SLOTS = tuple(agent.lower() for agent in AgentType)
"""A champion for every agent type."""
METRICS = ("accuracy", "score")
"""Whether an answer is what the user confirmed, and how much of it is (`answers.score`)."""
MODELS = ("candidate", "incumbent", "untrained")
BASELINES = ("as logged", "most common answer")
DESK = "desk"
"""The source of decisions that the generator writes."""
PACKAGES = "packages"
"""The source of decisions about Debian's packages."""


class TokenLimits(Settings):
    """How long what is asked and what is answered may be, in tokens of the model."""

    prompt: int = Field(default=512, ge=1)
    completion: int = Field(default=64, ge=1)


class Lengths(Settings):
    """Token limits by agent type."""

    filer: TokenLimits = TokenLimits()
    librarian: TokenLimits = TokenLimits()
    prioritizer: TokenLimits = TokenLimits(prompt=1024, completion=256)
    storer: TokenLimits = TokenLimits()
    retriever: TokenLimits = TokenLimits()


class DeskSettings(Settings):
    """The filing desk whose decisions the generator writes: an app with users, a model that is often wrong, and late news."""

    decisions: int = Field(default=200, ge=1)
    """A day, of each agent type."""
    days: int = Field(default=7, ge=1)
    """A night writes so many days again, as they are known by then: feedback and outcomes come late."""
    users: int = Field(default=60, ge=2)
    right: float = Field(default=0.55, ge=0, le=1)
    """Share of decisions in which the app's model does what its user would have."""
    noise: float = Field(default=0.05, ge=0, le=0.5)
    """Share of feedback that is wrong."""
    silent: float = Field(default=0.2, ge=0, lt=1)
    """Share of decisions that nobody ever says anything about."""
    seed: int = Field(default=1, ge=0)

    @property
    def source(self) -> str:
        """Under which name its decisions are kept: another desk's have the same ids, so it has a name of its own."""
        drawn = self.model_dump(exclude={"days"})
        usual = type(self)().model_dump(exclude={"days"})
        return DESK if drawn == usual else f"{DESK}-{digest(drawn)[:6]}"


class PackageSettings(Settings):
    """A package index of Debian's, whose descriptions are documents and whose sections folders, and the clerk who filed it."""

    file: Path
    """A `Packages` file of an archive (plain, .gz or .xz), or what `apt-cache dumpavail` prints."""
    sections: tuple[str, ...] = Field(min_length=2)
    """The folders there are; packages of other sections are left out."""
    decisions: int = Field(default=500, ge=1)
    """Packages a day."""
    days: int = Field(default=1, ge=1)
    users: int = Field(default=100, ge=2)
    right: float = Field(default=0.5, ge=0, le=1)
    """Share of packages that the clerk files where Debian does."""
    silent: float = Field(default=0.2, ge=0, lt=1)
    """Share of decisions that nobody says anything about."""
    seed: int = Field(default=1, ge=0)


class ExportSettings(Settings):
    """Which decisions come out of the store, the newest first, and which of them are held out."""

    limit: int | None = Field(default=1000, ge=1)
    """At most so many; null takes all."""
    min_reward: float | None = -2.0
    """Of the raw total; null asks for none, and rows without a reward come too."""
    require_feedback: bool = False
    """Only decisions that the user said something about."""
    pending: bool = False
    """Also those whose reward still waits for a component."""
    held_out: float = Field(default=0.25, gt=0, lt=1)
    """Share of users whose decisions are for the contest. A user's hash decides, so that he stays on his side every night."""
    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share of users whose decisions choose the best checkpoint. Nothing is trained on either."""
    test_days: int | None = Field(default=None, ge=1)
    """Only decisions of the last so many days are held out, and only those before are trained on: nothing that came after a
    question helps to answer it. Null holds out all days of the users that are held out."""
    near_duplicates: float | None = Field(default=0.95, gt=0, le=1)
    """Likeness (Jaccard, of words and pairs of words) from which two texts count as one; null compares nothing."""

    @model_validator(mode="after")
    def _some_to_train_on(self) -> Self:
        if self.held_out + self.validation >= 1:
            raise ConfigError("export.held_out and export.validation are all users: leave some to train on")
        return self


class ContestSettings(Settings):
    """The held-out decisions that everybody answers."""

    items: int = Field(default=200, ge=1)
    """At most so many, the newest first; only those whose right answer is known."""
    samples: int = Field(default=5, ge=0)
    """Wrong answers of each model that the report shows."""


class DecisionAgentsConfig(UseCaseConfig):
    """Everything a run of the decision agents can be told."""

    slot: str = "filer"
    """The agent type: filer, librarian, prioritizer, storer or retriever."""
    rewards: RewardSpec
    source: SourceSettings | None = None
    """The app's own database."""
    packages: PackageSettings | None = None
    """Debian's packages instead; with neither, decisions are those of the desk."""
    lengths: Lengths = Lengths()
    desk: DeskSettings = DeskSettings()
    export: ExportSettings = ExportSettings()
    contest: ContestSettings = ContestSettings()

    @property
    def agent_type(self) -> AgentType:
        """Whose decisions a run is about."""
        return AgentType[self.slot.upper()]

    @property
    def limits(self) -> TokenLimits:
        """How long this agent's prompts and answers may be."""
        limits: TokenLimits = getattr(self.lengths, self.slot)
        return limits

    @property
    def rows_of(self) -> str:
        """The source whose decisions are read."""
        if self.source is not None:
            return self.source.name
        return self.desk.source if self.packages is None else PACKAGES

    @field_validator("source")
    @classmethod
    def _not_a_generators(cls, source: SourceSettings | None) -> SourceSettings | None:
        if source is not None and (source.name in {DESK, PACKAGES} or source.name.startswith(f"{DESK}-")):
            raise ConfigError(f"the name '{source.name}' is a generator's: give the app another")
        return source

    @model_validator(mode="before")
    @classmethod
    def _answers_as_long_as_the_agent_may(cls, values: Any) -> Any:
        """Online PPO draws completions of the agent's own limit, unless it is told another."""
        if not isinstance(values, dict) or not isinstance(values.get("ppo"), dict):
            return values
        online = values["ppo"].get("online") or {}
        if not isinstance(online, dict) or "max_tokens" in (sampling := online.get("sampling") or {}):
            return values
        limit = _limit(values)
        if limit is None or not isinstance(sampling, dict):
            return values
        drawn = online | {"sampling": sampling | {"max_tokens": limit}}
        return values | {"ppo": values["ppo"] | {"online": drawn}}

    @field_validator("slot")
    @classmethod
    def _an_agent_type(cls, slot: str) -> str:
        """In small letters, or as the decisions have it."""
        if slot.strip() and slot.lower() not in SLOTS:
            raise ConfigError(f"'{slot}' is no agent type: choose one of {', '.join(SLOTS)}")
        return slot.lower()

    @field_validator("evaluation")
    @classmethod
    def _known_names(cls, settings: EvaluationSettings) -> EvaluationSettings:
        return check_names(settings, METRICS, (*MODELS, *BASELINES))

    @model_validator(mode="after")
    def _rewarded(self) -> Self:
        if self.agent_type not in self.rewards.weights:
            raise ConfigError(
                f"rewards.weights has none for {self.agent_type}: add them, or choose another slot"
            )
        return self


def _limit(values: dict[str, Any]) -> int | None:
    """The limit of an answer of the agent type, where the raw values name both in a form that can be read."""
    slot = str(values.get("slot", "filer")).lower()
    default = Lengths()
    if not hasattr(default, slot):
        return None
    lengths = values.get("lengths") or {}
    given = lengths.get(slot) if isinstance(lengths, dict) else None
    fallback: int = getattr(default, slot).completion
    found = given.get("completion", fallback) if isinstance(given, dict) else fallback
    return found if isinstance(found, int) else None
