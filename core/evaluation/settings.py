"""What an evaluation compares and how sure it must be."""

from typing import Annotated

from pydantic import Field

from core.record import Record
from core.statistics import MOST_CLUSTERS

Level = Annotated[float, Field(gt=0, lt=1)]


class EvaluationSettings(Record):
    """The plan of a comparison, made before the rows are looked at. More of a metric is better."""

    primary_metric: str
    candidate: str = "candidate"
    """The policy that wants to be promoted."""
    incumbent: str = "incumbent"
    """The policy in use; the untrained model when there is none yet."""
    baselines: tuple[str, ...] = ()
    """Policies that must be in the contest besides these two; the verdict doesn't depend on them."""
    literal_against: str | None = None
    """The policy of the two-sample test of proportions; the incumbent when not given."""
    aa_policies: tuple[str, str] | None = None
    """One policy that is in the contest twice, under two names and other seeds: a row that should show nothing."""
    alpha: Level = 0.05
    power: Level = 0.8
    worthwhile: Annotated[float, Field(ge=0)] = 0.0
    """The smallest gain of the primary metric worth a promotion: an interval wholly below it is 'not better'."""
    min_clusters: Annotated[int, Field(ge=2, le=MOST_CLUSTERS)] = 30
    """Below this many clusters (that differ) the tests are exact."""
    looks: Annotated[int, Field(ge=1, le=8)] = 1
    """Planned O'Brien-Fleming looks; 1 is a fixed design."""
    min_clusters_per_look: Annotated[int, Field(ge=2)] = 48
    invalid_rate_limit: Annotated[float, Field(ge=0, le=1)] = 0.02
    """A candidate with more invalid or substituted decisions than this is not better."""
