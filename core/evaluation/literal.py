"""The test that a textbook would name: two proportions, wins counted once a cluster."""

import numpy as np
from numpy.typing import NDArray

from core.evaluation.contest import Contest
from core.evaluation.results import LiteralTest
from core.evaluation.settings import EvaluationSettings
from core.statistics import chi_squared, mcnemar, newcombe_interval


def literal_test(contest: Contest, settings: EvaluationSettings) -> LiteralTest | None:
    """Candidate against a baseline on separate clusters, the first item of each.

    Clusters go to the two in turn within each stratum, so that their counts are unpaired (on paired
    counts the chi-squared test is too conservative). McNemar's test takes the same items, paired.
    None when the metric is not 0 or 1, or fewer than two clusters have both values.
    """
    against = settings.literal_against or settings.incumbent
    first_C = contest.first_items()
    ours_C = contest.values_of(settings.candidate, settings.primary_metric)[first_C]
    theirs_C = contest.values_of(against, settings.primary_metric)[first_C]
    both_C = ~np.isnan(ours_C - theirs_C)
    ours_C, theirs_C = ours_C[both_C], theirs_C[both_C]
    if len(ours_C) < 2 or not np.isin([ours_C, theirs_C], (0.0, 1.0)).all():
        return None
    strata_C = (
        np.zeros(len(ours_C), np.int64) if contest.strata_I is None else contest.strata_I[first_C][both_C]
    )
    mine_C = alternate(strata_C)
    arms = int(ours_C[mine_C].sum()), int(mine_C.sum()), int(theirs_C[~mine_C].sum()), int((~mine_C).sum())
    only = int((ours_C > theirs_C).sum()), int((theirs_C > ours_C).sum())
    return LiteralTest(
        metric=settings.primary_metric,
        policy=against,
        wins=arms[0],
        trials=arms[1],
        other_wins=arms[2],
        other_trials=arms[3],
        test=chi_squared(*arms),
        interval=newcombe_interval(*arms, settings.alpha),
        only_candidate=only[0],
        only_other=only[1],
        paired=mcnemar(*only),
    )


def alternate(strata_C: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which clusters go to the first arm: every other one of each stratum, odd strata starting in turn."""
    first_C = np.zeros(len(strata_C), dtype=bool)
    start = 0
    for stratum in np.unique(strata_C):
        members = np.flatnonzero(strata_C == stratum)
        first_C[members[start::2]] = True
        start = (start + len(members)) % 2
    return first_C
