"""The settings of the widget ratings."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from core.errors import ConfigError
from core.evaluation import EvaluationSettings, check_names
from core.record import Settings
from core.store.foreign.settings import SourceSettings
from core.store.rating_claims import OnlineSettings
from core.use_case import UseCaseConfig
from core.use_cases.widget_ratings.catalogue import SCENARIOS

Problem = Literal["widget", "fixture", "text"]
METRICS = ("accuracy", "logprob_accuracy", "margin")
"""Share of pairs whose chosen answer has the higher implicit reward, the higher log-probability; and the reward's margin."""
MODELS = ("candidate", "incumbent", "untrained")
BASELINES = ("true taste", "most liked elsewhere")
SIMULATED = "simulation"
"""The source of ratings that the generator writes."""
FILES = "files"
"""The source of ratings that came in files, unless another is named."""


class SimulationSettings(Settings):
    """The people whose ratings the generator writes, and what they are shown."""

    scenarios: int = Field(default=12, ge=2, le=len(SCENARIOS))
    questions: int = Field(default=16, ge=1)
    """In each scenario."""
    raters: int = Field(default=20, ge=0)
    """Without any, people rate what is shown: `make rate`."""
    ratings: int = Field(default=60, ge=1)
    """Of each rater on a day."""
    days: int = Field(default=5, ge=1)
    """Days of ratings, up to the run's own."""
    sharpness: float = Field(default=4.0, gt=0)
    """How surely a thumb follows the taste: the slope of a logistic function."""
    threshold: float = 0.5
    """What a showing must be worth for an even chance of a thumb up."""
    doubt: float = Field(default=0.15, ge=0)
    """Within this of the threshold half of the raters say that they are not sure."""
    seed: int = Field(default=1, ge=0)


class VoteSettings(Settings):
    """Which ratings count, and how sure an answer's votes must be."""

    max_buffer_size: int | None = Field(default=10_000, ge=1)
    """So many ratings, the newest; null takes all."""
    tag_weights: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(
        default_factory=lambda: dict.fromkeys(("unsure", "accident", "not-sure"), 0.0)
    )
    """How many votes a rating with such a tag is; 0 leaves it out. Of several tags the lightest decides; other ratings are
    one vote."""
    votes: float = Field(default=1.0, gt=0)
    """Votes that an answer needs."""
    agreement: float = Field(default=0.6, ge=0.5, le=1)
    """Share of an answer's votes that must be the same; what splits its raters teaches nothing."""


class ContestSettings(Settings):
    """The held-out pairs that everybody reads."""

    pairs: int = Field(default=400, ge=1)
    """At most so many."""
    pairs_a_prompt: int = Field(default=4, ge=1)


class WidgetRatingsConfig(UseCaseConfig):
    """Everything a run of the widget ratings can be told."""

    source: SourceSettings | None = None
    """The app's own database with its ratings."""
    data_file: Path | None = None
    """A JSON file with what was rated."""
    ratings_file: Path | None = None
    """A JSON file with ratings; with neither file nor source, the simulated raters' are taken."""
    file_source: str = Field(default=FILES, min_length=1)
    """Under which name the files' entries and ratings are kept: another simulation, whose ids mean something else, needs another."""
    rater: str = Field(default="somebody", min_length=1)
    """Whose ratings a file holds that doesn't say so."""
    simulation: SimulationSettings = SimulationSettings()
    problems: tuple[Problem, ...] = Field(default=("widget", "fixture", "text"), min_length=1)
    """What is learnt: which widget answers a question, how a widget looks, and answers in words."""
    votes: VoteSettings = VoteSettings()
    held_out: float = Field(default=0.25, gt=0, lt=1)
    """Share of scenarios (where entries name none, of questions) that the contest is about, by their hash."""
    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share of scenarios by which the best checkpoint is chosen. Nothing is trained on either."""
    min_samples: int = Field(default=50, ge=1)
    """Pairs to train on, below which a run ends as 'not enough data'."""
    prompt_tokens: int = Field(default=512, ge=1)
    """Longer prompts are left out."""
    completion_tokens: int = Field(default=48, ge=1)
    leftovers: bool = True
    """Whether prompts without a pair are learnt from too, by KTO after DPO, where there are as many as `min_samples`."""
    online: OnlineSettings = OnlineSettings()
    contest: ContestSettings = ContestSettings()

    @property
    def is_simulated(self) -> bool:
        """Whether its ratings are the simulated raters'."""
        return self.source is None and self.data_file is None and self.ratings_file is None

    @property
    def has_taste(self) -> bool:
        """Whether what its raters truly like is known: not where people alone rate the simulation."""
        return self.is_simulated and self.simulation.raters > 0

    @property
    def rows_of(self) -> str:
        """The source whose ratings are read."""
        if self.source is not None:
            return self.source.name
        return SIMULATED if self.is_simulated else self.file_source

    @field_validator("evaluation")
    @classmethod
    def _known_names(cls, settings: EvaluationSettings) -> EvaluationSettings:
        return check_names(settings, METRICS, (*MODELS, *BASELINES))

    @model_validator(mode="after")
    def _some_to_train_on(self) -> Self:
        if self.held_out + self.validation >= 1:
            raise ConfigError("held_out and validation are all scenarios: leave some to train on")
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.source is not None and self.ratings_file is not None:
            raise ConfigError("source and ratings_file both say where ratings come from: keep one of them")
        return self
