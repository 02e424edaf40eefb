"""Every test and interval that Overnight reports; scipy's home."""

from core.statistics.always_valid import always_valid_p_value, confidence_sequence
from core.statistics.clusters import (
    ClusterRates,
    ClusterTrials,
    Estimated,
    mean_rate,
    pooled_rate,
    within_unit,
)
from core.statistics.normal import normal_cdf, normal_quantile, t_p_value, t_quantile, z_score
from core.statistics.paired import cluster_means, mean_interval, paired_t, paired_test
from core.statistics.planning import (
    MOST_LOOKS,
    clusters_needed,
    holm,
    minimum_detectable_effect,
    obrien_fleming_bounds,
    repeated_p_value,
)
from core.statistics.proportions import (
    chi_squared,
    goodness_of_fit,
    mcnemar,
    newcombe_interval,
    wilson_interval,
)
from core.statistics.ranks import rank_correlation
from core.statistics.results import HypothesisTest, Interval, PairedDifference
from core.statistics.sign_flip import sign_flip_interval, sign_flip_p_value

__all__ = [
    "MOST_LOOKS",
    "ClusterRates",
    "ClusterTrials",
    "Estimated",
    "HypothesisTest",
    "Interval",
    "PairedDifference",
    "always_valid_p_value",
    "chi_squared",
    "cluster_means",
    "clusters_needed",
    "confidence_sequence",
    "goodness_of_fit",
    "holm",
    "mcnemar",
    "mean_interval",
    "mean_rate",
    "minimum_detectable_effect",
    "newcombe_interval",
    "normal_cdf",
    "normal_quantile",
    "obrien_fleming_bounds",
    "paired_t",
    "paired_test",
    "pooled_rate",
    "rank_correlation",
    "repeated_p_value",
    "sign_flip_interval",
    "sign_flip_p_value",
    "t_p_value",
    "t_quantile",
    "wilson_interval",
    "within_unit",
    "z_score",
]
