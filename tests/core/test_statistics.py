"""Every test and interval against figures worked by hand or printed in its source."""

import numpy as np
import pytest
from scipy import stats

from core.errors import DataError
from core.statistics import (
    Interval,
    chi_squared,
    cluster_means,
    clusters_needed,
    goodness_of_fit,
    holm,
    mcnemar,
    mean_interval,
    minimum_detectable_effect,
    newcombe_interval,
    normal_cdf,
    obrien_fleming_bounds,
    paired_t,
    paired_test,
    rank_correlation,
    repeated_p_value,
    sign_flip_interval,
    sign_flip_p_value,
    wilson_interval,
    z_score,
)


def ends(interval):
    return None if interval is None else (interval.low, interval.high)


def test_normal_cdf_of_an_array():
    """Half of a normal variable lies below 0, 97.5 % below 1.96."""
    assert normal_cdf([[0.0, 1.959964], [-1.959964, 40.0]]) == pytest.approx(
        np.array([[0.5, 0.975], [0.025, 1.0]]), abs=1e-6
    )


def test_wilson_interval_of_newcombes_table():
    """81 of 263: .2553 to .3662 (Newcombe 1998, Statistics in Medicine 17:857, table I)."""
    assert ends(wilson_interval(81, 263)) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_interval_at_the_ends():
    """No success starts at exactly 0, no trial says nothing, more successes than trials are refused."""
    assert ends(wilson_interval(0, 20)) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(20, 20).high == 1.0
    assert wilson_interval(0, 0) == Interval(low=0, high=1)
    with pytest.raises(DataError, match="5 successes of 4 trials"):
        wilson_interval(5, 4)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_newcombe_interval_of_newcombes_table(counts, expected):
    """Method 10 of Newcombe 1998, Statistics in Medicine 17:873, table II."""
    assert ends(newcombe_interval(*counts)) == pytest.approx(expected, abs=5e-5)


def test_newcombe_interval_without_an_arm():
    """An arm without trials leaves every difference possible."""
    assert newcombe_interval(3, 10, 0, 0) == Interval(low=-1, high=1)


def test_chi_squared_by_hand():
    """15 of 100 against 5 of 100: 200 (15*95 - 85*5)^2 / (20*180*100*100) = 5.5556, p = .0184."""
    test = chi_squared(15, 100, 5, 100)

    assert test.method == "chi-squared"
    assert (test.statistic, test.p_value) == pytest.approx((5.5556, 0.0184), abs=5e-5)


def test_chi_squared_gives_way_to_fisher():
    """The lady's four cups: an expected count of 2 calls for Fisher's test, p = 34/70."""
    test = chi_squared(3, 4, 1, 4)

    assert (test.method, test.statistic) == ("Fisher exact", None)
    assert test.p_value == pytest.approx(34 / 70)


@pytest.mark.parametrize("counts", [(0, 50, 0, 50), (50, 50, 50, 50), (3, 10, 0, 0), (0, 0, 0, 0)])
def test_chi_squared_without_anything_to_compare(counts):
    """One outcome only, or an empty arm, is no evidence: p = 1."""
    assert chi_squared(*counts).p_value == 1.0


def test_mcnemar_by_hand():
    """5 against 1: 2 (C(6,0) + C(6,1)) / 64 = .21875; no pair that differs gives p = 1."""
    assert mcnemar(5, 1).p_value == pytest.approx(0.21875)
    assert mcnemar(0, 0).p_value == 1.0


def test_goodness_of_fit_by_hand():
    """A die thrown 60 times, 5 8 9 8 10 20: chi-squared 13.4, p = .0199."""
    test = goodness_of_fit([5, 8, 9, 8, 10, 20])

    assert (test.statistic, test.p_value) == pytest.approx((13.4, 0.0199), abs=5e-5)


def test_goodness_of_fit_of_few_counts():
    """With two expected per category draws stand in for the chi-squared distribution."""
    test = goodness_of_fit([6, 0, 0])
    exact = 3 / 3**6  # all six in one place

    assert test.method == "multinomial draws"
    assert test.p_value == pytest.approx(exact, abs=0.002)
    assert goodness_of_fit([0, 0]).p_value == 1.0
    assert goodness_of_fit([10, 20], weights=[1, 2]).statistic == pytest.approx(0.0)
    with pytest.raises(DataError, match="one count"):
        goodness_of_fit([1, 2], weights=[1])


def test_cluster_means_keep_the_order_of_play():
    """Clusters come as they first appear; missing values are left out, and so is a cluster without any."""
    values = [1.0, 3.0, 10.0, np.nan, np.nan, 5.0]
    clusters = [7, 7, 2, 2, 4, 0]

    assert cluster_means(values, clusters).tolist() == [2.0, 10.0, 5.0]
    assert cluster_means([np.nan], [1]).tolist() == []
    with pytest.raises(DataError, match="cluster numbers"):
        cluster_means([1.0, 2.0], [1])


def test_paired_t_by_hand():
    """1 to 5: mean 3, standard error .7071, t 4.2426 with 4 degrees, 3 +- 2.7764 * .7071."""
    test = paired_t([1, 2, 3, 4, 5])

    assert (test.difference, test.standard_error, test.p_value) == pytest.approx(
        (3, 0.70711, 0.013236), abs=5e-6
    )
    assert ends(test.interval) == pytest.approx((1.03676, 4.96324), abs=5e-6)


def test_no_cluster_differs():
    """All zeros are no evidence of anything: p = 1 and no interval."""
    for test in (paired_t(np.zeros(50)), paired_test(np.zeros(50)), paired_test(np.zeros(3))):
        assert (test.difference, test.p_value, test.interval) == (0.0, 1.0, None)


def test_one_cluster_says_nothing():
    """One cluster has no spread: p = 1, no interval, no standard error."""
    test = paired_test([0.3])

    assert (test.difference, test.p_value, test.interval, test.standard_error) == (0.3, 1.0, None, None)


def test_no_spread_is_judged_by_signs():
    """Ten times the same gain: the signs alone say p = 2 / 2^10."""
    test = paired_t(np.full(10, 0.1))

    assert test.p_value == pytest.approx(2 / 1024)
    assert test.method == "sign test (no spread)"


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0]]])
def test_a_comparison_refuses_what_it_cannot_use(values):
    """Nothing, a missing value or a table is refused in words."""
    with pytest.raises(DataError, match="at least one cluster"):
        paired_test(values)


def test_sign_flip_by_hand():
    """3, 2, -1: of eight patterns two sum to 6, two to 4; |4| or more: 4 of 8."""
    assert sign_flip_p_value(np.array([3.0, 2.0, -1.0])) == 0.5
    assert sign_flip_p_value(np.array([3.0, 2.0, 1.0])) == 0.25
    assert sign_flip_p_value(np.array([1.0, -1.0])) == 1.0


def test_sign_flip_of_wins_is_mcnemar():
    """On differences of one win it is McNemar's exact test, and ties don't count."""
    differences = np.array([1.0] * 9 + [-1.0] * 2 + [0.0] * 5)

    assert sign_flip_p_value(differences) == pytest.approx(mcnemar(9, 2).p_value)


def test_sign_flip_agrees_with_scipy():
    """All 2^12 patterns listed one by one give the same p-value."""
    differences = np.random.default_rng(3).normal(0.4, 1, 12)
    listed = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)

    assert sign_flip_p_value(differences) == pytest.approx(listed.pvalue)


def test_sign_flip_interval_is_made_of_subset_means():
    """Six values: at .05 one of 64 subsets may lie below, so the interval is the smallest and largest value."""
    interval = sign_flip_interval(np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0]))

    assert ends(interval) == pytest.approx((1.0, 13.0), abs=1e-6)
    assert sign_flip_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) is None


def test_sign_flip_interval_agrees_with_its_p_value():
    """Zero lies outside the interval exactly when the test rejects it."""
    random = np.random.default_rng(5)
    for shift in (0.0, 0.3, 0.5, 0.7, 1.0):
        differences = random.normal(shift, 1, 14)
        rejected = sign_flip_p_value(differences) <= 0.05

        assert sign_flip_interval(differences).holds(0.0) == (not rejected)


def test_sign_flip_refuses_too_many():
    """What would not fit into memory is refused before it is tried."""
    with pytest.raises(DataError, match="40 differences are too many"):
        sign_flip_p_value(np.ones(40))


def test_which_test_is_taken():
    """Few clusters: exact; many that differ: t; many of which few differ: exact with a t interval."""
    few = np.zeros(100)
    few[:4] = 1.0

    assert paired_test(np.arange(1.0, 13)).method == "exact sign-flip test"
    assert paired_test(np.arange(1.0, 41)).method == "paired t"
    assert paired_test(few).method == "exact sign-flip test on 4 that differ, t interval"
    assert paired_test(few).p_value == 2 / 2**4


@pytest.mark.parametrize(("clusters", "low", "high"), [(12, 0.02, 0.08), (40, 0.02, 0.08)])
def test_paired_tests_keep_their_level(clusters, low, high):
    """Two policies that are alike differ at .05 in about one of twenty tournaments (one-season title luck)."""
    random = np.random.default_rng(11)
    titles = random.binomial(16, 0.12, (2, 400, clusters)) / 16
    rejected = [paired_test(one).p_value <= 0.05 for one in titles[0] - titles[1]]

    assert low <= np.mean(rejected) <= high


def test_mean_interval_of_clusters_alike():
    """Clusters that are all alike, or a single one, give no interval."""
    assert mean_interval([0.1, 0.1, 0.1]) is None
    assert mean_interval([0.1]) is None
    assert ends(mean_interval([1, 2, 3, 4, 5])) == pytest.approx((1.03676, 4.96324), abs=5e-6)


def test_holm_by_hand():
    """.01 .04 .03 .005 become .03 .06 .06 .02: times 3, 1, 2, 4, and never below a smaller one's."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


@pytest.mark.parametrize(
    ("looks", "bounds"),
    [
        (1, (1.960,)),
        (2, (2.797, 1.977)),
        (3, (3.471, 2.454, 2.004)),
        (4, (4.049, 2.863, 2.337, 2.024)),
        (5, (4.562, 3.226, 2.634, 2.281, 2.040)),
    ],
)
def test_obrien_fleming_bounds_of_the_textbook(looks, bounds):
    """Jennison & Turnbull 2000, Group Sequential Methods, table 2.3: C_B at .05."""
    assert obrien_fleming_bounds(range(100, 100 * looks + 1, 100)) == pytest.approx(bounds, abs=1e-3)


def test_obrien_fleming_bounds_keep_their_level():
    """Four looks at nothing cross a bound in 5 % of 20,000 random walks; 1.96 at each would in 12.6 %."""
    steps = np.random.default_rng(2).normal(size=(20_000, 4)).cumsum(1)
    z = np.abs(steps) / np.sqrt(np.arange(1, 5))

    assert (z >= obrien_fleming_bounds((1, 2, 3, 4))).any(1).mean() == pytest.approx(0.05, abs=0.006)
    assert (z >= 1.96).any(1).mean() == pytest.approx(0.126, abs=0.01)


def test_unequal_looks_keep_their_level():
    """Looks after 288, 480, 768 and 1,000 of 1,000 leagues: 5 % of 20,000 random walks cross a bound."""
    sizes = np.array([288, 480, 768, 1000])
    steps = np.random.default_rng(3).normal(size=(20_000, 4)) * np.sqrt(np.diff([0, *sizes]))
    z = np.abs(steps.cumsum(1)) / np.sqrt(sizes)
    bounds = np.array(obrien_fleming_bounds(sizes.tolist()))

    assert (z >= bounds).any(1).mean() == pytest.approx(0.05, abs=0.006)
    assert np.allclose(bounds * np.sqrt(sizes), bounds[-1] * np.sqrt(1000))


@pytest.mark.parametrize(
    ("sizes", "alpha"), [((), 0.05), (range(1, 10), 0.05), ((1, 2), 0.0), ((48, 48), 0.05)]
)
def test_obrien_fleming_bounds_refuse_a_bad_plan(sizes, alpha):
    """Nine looks, no level, or a look at nothing new are no plan."""
    with pytest.raises(DataError):
        obrien_fleming_bounds(sizes, alpha)


def test_a_repeated_p_value_is_the_level_that_would_just_stop():
    """On the bound it is alpha, at every look; one look is the plain p-value; it falls with |z| and stays above 0."""
    sizes = (288, 480, 768, 1000)
    for alpha in (0.05, 0.001):
        for look, bound in enumerate(obrien_fleming_bounds(sizes, alpha), start=1):
            assert repeated_p_value(-bound, look, sizes) == pytest.approx(alpha, rel=1e-4)
    assert repeated_p_value(1.959964, 1, (48,)) == pytest.approx(0.05, rel=1e-4)
    assert repeated_p_value(0.0, 2, sizes) == 1.0
    falling = [repeated_p_value(z, 2, sizes) for z in np.linspace(0.1, 30, 40)]
    assert falling == sorted(falling, reverse=True)
    assert 0 < falling[-1] < 1e-90


def test_minimum_detectable_effect_by_hand():
    """Many clusters: (1.960 + .8416) standard errors; 24 clusters: (2.0687 + .8575) of them."""
    assert minimum_detectable_effect(0.01, 100_000) == pytest.approx(0.028016, abs=1e-5)
    assert minimum_detectable_effect(1.0, 24) == pytest.approx(2.0687 + 0.8575, abs=1e-3)
    assert minimum_detectable_effect(0.0, 24) is None
    assert minimum_detectable_effect(0.1, 1) is None


def test_clusters_needed_by_hand():
    """A difference of one standard deviation needs (1.960 + .8416)^2 = 7.85, so 8 clusters."""
    assert clusters_needed(0.2, 0.2) == 8
    assert clusters_needed(0.2, -0.02) == 785
    assert clusters_needed(0.2, 0.0) is None


def test_z_score_of_a_p_value():
    """P = .05 is 1.96 on the side of the difference; p = 1 is 0, and p = 0 stays finite."""
    assert z_score(0.05, -3.0) == pytest.approx(-1.959964)
    assert z_score(1.0, 1.0) == 0.0
    assert 30 < z_score(0.0, 1.0) < 40


def test_rank_correlation_by_hand():
    """Ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = .8; ties count at their mean rank; a constant ranks nothing."""
    assert rank_correlation([10, 20, 30, 40, 50], [2, 1, 4, 3, 500]) == pytest.approx(0.8)
    assert rank_correlation([1, 1, 2], [5, 5, 9]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [7, 7, 7]) is None
    assert rank_correlation([1], [2]) is None
