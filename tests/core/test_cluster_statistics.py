"""Rates over clusters, and looks whenever one likes: by hand, and held against simulated users."""

import math

import numpy as np
import pytest

from core.errors import DataError
from core.statistics import (
    ClusterRates,
    ClusterTrials,
    Interval,
    always_valid_p_value,
    confidence_sequence,
    mean_rate,
    pooled_rate,
    within_unit,
)


def rates_of(trials, successes):
    """The sums of the clusters that had any trials."""
    own = successes[trials > 0] / trials[trials > 0]
    return ClusterRates(len(own), float(own.sum()), float((own**2).sum()))


def trials_of(trials, successes):
    sums = ClusterTrials()
    for each in zip(trials.tolist(), successes.tolist(), strict=True):
        sums = sums.plus(*each) if each[0] else sums
    return sums


def test_an_always_valid_p_value_by_hand():
    """V = scale^2 = .01 and D = .4: L = sqrt(1/2) exp(4) = 38.61, p = .02590; D = .1: L < 1, p = 1."""
    assert always_valid_p_value(0.4, 0.01, 0.1) == pytest.approx(1 / (math.sqrt(0.5) * math.exp(4)))
    assert always_valid_p_value(-0.4, 0.01, 0.1) == pytest.approx(0.02590, abs=5e-6)
    assert always_valid_p_value(0.1, 0.01, 0.1) == 1.0
    assert 0 < always_valid_p_value(1.0, 1e-9, 0.1) < 1e-300


def test_a_confidence_sequence_by_hand():
    """The same: .4 +- sqrt(.01 * .02 / .01 * (2 ln 20 + ln 2)) = .4 +- .36564."""
    found = confidence_sequence(0.4, 0.01, 0.1)
    assert (found.low, found.high) == pytest.approx((0.03436, 0.76564), abs=5e-6)


def test_a_sequence_excludes_zero_exactly_where_its_p_value_is_below_alpha():
    """Both are the same likelihood ratio against the same bound."""
    for difference in np.linspace(-0.3, 0.3, 61):
        for alpha in (0.05, 0.01):
            excluded = not confidence_sequence(difference, 0.004, 0.05, alpha).holds(0.0)
            assert excluded == (always_valid_p_value(difference, 0.004, 0.05) < alpha)


@pytest.mark.parametrize("given", [(0.1, 0.0, 0.1, 0.05), (0.1, 0.1, 0.0, 0.05), (0.1, 0.1, 0.1, 1.0)])
def test_a_sequence_refuses_what_says_nothing(given):
    """No variance, no size looked for, or no level."""
    with pytest.raises(DataError):
        confidence_sequence(*given)


def test_the_mean_of_clusters_by_hand():
    """Rates 1, 1, .5, 0, and the two that nobody saw: 3.5/6, variance (3.25 - 3.5^2/6) / 5 / 6, five degrees."""
    rates = ClusterRates(4, 2.5, 2.25)
    found = mean_rate(rates)
    assert rates.mean == 0.625
    assert found == pytest.approx((0.583333, 0.0402778, 5), abs=1e-6)
    interval = found.interval()
    assert (interval.low, interval.high) == pytest.approx((0.06744, 1.09923), abs=5e-5)
    assert within_unit(interval) == Interval(low=interval.low, high=1.0)
    assert ClusterRates().mean is None


def test_a_pooled_rate_by_hand():
    """(2 of 2) and (0 of 2), and two more such: 4 of 8, variance 4/3 * (8 - 8 + .25 * 16) / 64, 64/16 - 1 degrees."""
    sums = ClusterTrials().plus(2, 2).plus(2, 0)
    assert sums == (2, 4, 2, 8, 4, 4)
    assert pooled_rate(sums) == pytest.approx((0.5, 1 / 12, 3))
    with pytest.raises(DataError, match="at least one trial"):
        pooled_rate(ClusterTrials())


def test_a_difference_by_hand():
    """Of .58333 and .5, variances .04 and .02 with 5 and 3 degrees: .06, and .06^2 / (.04^2/5 + .02^2/3) degrees."""
    one, other = mean_rate(ClusterRates(4, 2.5, 2.25)), pooled_rate(ClusterTrials().plus(2, 2).plus(2, 0))
    found = one._replace(variance=0.04).minus(other._replace(variance=0.02))
    assert found == pytest.approx((0.083333, 0.06, 0.0036 / (0.0016 / 5 + 0.0004 / 3)), abs=1e-6)


def test_a_cluster_is_one_piece_of_luck():
    """A hundred ratings each of the same opinion say no more than one rating each; the plain interval would say ten times more."""
    busy, once = ClusterTrials(), ClusterTrials()
    for number in range(40):
        busy, once = busy.plus(100, 100 * (number % 2)), once.plus(1, number % 2)
    assert pooled_rate(busy) == pytest.approx(pooled_rate(once))


@pytest.mark.parametrize(("rate", "activity"), [(0.6, 0.0), (0.6, 1.0), (0.95, 1.0), (0.6, 2.0)])
def test_intervals_over_users_hold_the_true_rate(rate, activity):
    """80 users whose own rates and activity differ: both intervals hold the true rate in at least 92.5 % of 400 draws."""
    random, held = np.random.default_rng(4), np.zeros(2)
    for _ in range(400):
        own = random.beta(4 * rate, 4 * (1 - rate), 80)
        trials = random.poisson(4 * random.lognormal(0, activity, 80))
        successes = random.binomial(trials, own)
        found = mean_rate(rates_of(trials, successes)), pooled_rate(trials_of(trials, successes))
        held += [within_unit(each.interval()).holds(rate) for each in found]
    assert (held / 400 >= 0.925).all(), held / 400


def nights(random, users, rates, activity, count):
    """Trials and successes of the users at the end of each night, (N, U): they come one by one, and stay."""
    arrives = random.integers(0, count, users)
    pace = 0.3 * random.lognormal(0, activity, users)
    trials = random.poisson(pace * (np.arange(count)[:, None] >= arrives))
    return trials.cumsum(0), random.binomial(trials, rates).cumsum(0)


@pytest.mark.parametrize(
    ("rate", "activity", "share"), [(0.6, 0.0, 0.5), (0.6, 2.0, 0.5), (0.95, 1.0, 0.5), (0.7, 1.0, 0.1)]
)
def test_looking_every_night_keeps_the_level(rate, activity, share):
    """Two arms that are alike, 40 nights: some sequence excludes zero in under 5 % of 200 experiments.

    Of an interval that is right at one look some night's does in far more.
    """
    random, crossed, fooled = np.random.default_rng(6), 0, 0
    for _ in range(200):
        own = random.beta(4 * rate, 4 * (1 - rate), 400)
        trials_N_U, successes_N_U = nights(random, 400, own, activity, 40)
        ours = random.random(400) < share
        apart = [
            mean_rate(rates_of(trials[ours], successes[ours])).minus(
                mean_rate(rates_of(trials[~ours], successes[~ours]))
            )
            for trials, successes in zip(trials_N_U, successes_N_U, strict=True)
        ]
        crossed += any(always_valid_p_value(one.value, one.variance, 0.05) < 0.05 for one in apart)
        fooled += any(not one.interval().holds(0.0) for one in apart)
    assert crossed / 200 < 0.05
    assert fooled > 2 * crossed
    assert rate > 0.9 or share < 0.5 or fooled / 200 > 0.15


def test_a_sequence_holds_the_true_difference_on_all_nights():
    """Ten points apart, 40 nights: every night's sequence holds it in at least 95 % of 200 experiments, and most find it."""
    random, held, found = np.random.default_rng(8), 0, 0
    for _ in range(200):
        ours = np.arange(800) < 400
        mean = np.where(ours, 0.7, 0.6)
        trials_N_U, successes_N_U = nights(random, 800, random.beta(4 * mean, 4 * (1 - mean)), 1.0, 40)
        sequences = []
        for trials, successes in zip(trials_N_U, successes_N_U, strict=True):
            apart = mean_rate(rates_of(trials[ours], successes[ours])).minus(
                mean_rate(rates_of(trials[~ours], successes[~ours]))
            )
            sequences.append(confidence_sequence(apart.value, apart.variance, 0.05))
        held += all(each.holds(0.1) for each in sequences)
        found += sequences[-1].low > 0
    assert held / 200 >= 0.95
    assert found / 200 > 0.8
