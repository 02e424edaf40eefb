"""What an evaluation holds: numbers, tests and one verdict, ready to be stored."""

from enum import StrEnum

from core.evaluation.settings import EvaluationSettings
from core.files import digest
from core.record import Record
from core.statistics import HypothesisTest, Interval, PairedDifference


class Verdict(StrEnum):
    """Whether the candidate beats the incumbent."""

    BETTER = "better"
    NOT_BETTER = "not better"
    CANNOT_TELL = "cannot tell"


class Estimate(Record):
    """One policy's mean of one metric: every cluster counts once."""

    policy: str
    metric: str
    mean: float | None
    """None when every value is missing."""
    interval: Interval | None
    clusters: int
    missing: int
    """Items without a value."""


class Comparison(PairedDifference):
    """Candidate minus another policy on the items that both have."""

    policy: str
    """The other one."""
    metric: str
    level: float
    """The p-value to stay under; 1 - level is the interval's coverage."""
    repeated: bool = False
    """Interval and p-value hold at all planned looks together."""
    missing: int


class StratumComparison(Record):
    """Candidate minus incumbent within one stratum."""

    stratum: int
    clusters: int
    candidate: float
    incumbent: float
    interval: Interval | None
    p_value: float
    p_holm: float
    """Adjusted for the number of strata."""
    share_of_wins: float | None
    """The part of all wins that this stratum takes, whoever has it."""


class Look(Record):
    """One planned look at the primary comparison."""

    number: int
    clusters: int
    z: float
    bound: float
    crossed: bool


class SequentialDesign(Record):
    """The O'Brien-Fleming looks, or why there were none."""

    looks: tuple[Look, ...]
    """Those that were taken."""
    planned: int
    clusters: int
    """Planned at the last look."""
    stopped_early: bool
    note: str


class LiteralTest(Record):
    """The textbook test: wins on separate clusters, one item each; and McNemar's on the same clusters."""

    metric: str
    policy: str
    """The one that the candidate is held against."""
    wins: int
    trials: int
    other_wins: int
    other_trials: int
    test: HypothesisTest
    interval: Interval
    """Of the difference of the two proportions (Newcombe)."""
    only_candidate: int
    only_other: int
    paired: HypothesisTest


class Validity(Record):
    """How often a policy's own answer could be used, and what the answers cost."""

    policy: str
    decisions: float
    invalid: float
    substituted: float
    rate: float
    """The larger of invalid and substituted, per decision asked for."""
    tokens: float | None
    seconds: float | None


class Evaluation(Record):
    """The numbers of one contest and the verdict they support."""

    settings: EvaluationSettings
    cluster_name: str
    stratum_name: str
    clusters: int
    items: int
    rates: tuple[str, ...]
    """Metrics whose values all lie in [0, 1]."""
    estimates: tuple[Estimate, ...]
    primary: Comparison
    """Candidate minus incumbent on the primary metric: what the verdict rests on."""
    comparisons: tuple[Comparison, ...]
    """Candidate minus every other policy on the primary metric, all items; the row of the incumbent is `primary`."""
    strata: tuple[StratumComparison, ...]
    strata_fit: HypothesisTest | None
    """Whether all strata are worth the same, by the wins of whoever had them."""
    sequential: SequentialDesign
    literal: LiteralTest | None
    """None when the primary metric is not a win or a loss, or there are too few clusters."""
    aa: Comparison | None
    """A policy against itself under other seeds: should show nothing."""
    minimum_detectable_effect: float | None
    clusters_needed: int | None
    """How many would find the difference seen."""
    validity: tuple[Validity, ...]
    verdict: Verdict
    reason: str
    design: tuple[tuple[str, str], ...]
    """What was played, as the contest says it, in its order."""
    evidence: dict[str, str]
    """What the numbers are about and stand on: the slot; digests of the entrants, of the snapshots the candidate grew from,
    of code and config."""

    @property
    def id(self) -> str:
        """The digest of everything in it: equal evaluations have equal ids."""
        return digest(self.model_dump(mode="json"))

    def estimate(self, policy: str, metric: str) -> Estimate | None:
        """One policy's estimate of one metric."""
        found = (one for one in self.estimates if (one.policy, one.metric) == (policy, metric))
        return next(found, None)
