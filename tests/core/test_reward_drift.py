"""A drift is called one when it is large, and not when few values look different by chance."""

import random

import pytest

from core.reward import Reward
from core.reward_drift import TOTAL, drifts
from core.reward_moments import Moments


def strata(values):
    moments = Moments()
    for value in values:
        moments.add("FILER", Reward("final", [value], (), value, 0.5, None))
    return moments.strata({"FILER": ["a"]})


def drift_of(now, then):
    return {drift.component: drift for drift in drifts(strata(now), strata(then))}


def test_equal_values_have_no_drift():
    """0 and 0, whatever they are."""
    values = [number / 100 for number in range(-100, 100)]
    found = drift_of(values, values)
    assert set(found) == {"a", TOTAL}
    assert (found["a"].shift, found["a"].stability) == (0, 0)
    assert not found["a"].large


def test_a_mean_that_moved_is_seen():
    """By .5 of 200 values from -1 to .99, whose standard deviation is .5788: .864 of it."""
    values = [number / 100 for number in range(-100, 100)]
    found = drift_of([value + 0.5 for value in values], values)
    assert found["a"].shift == pytest.approx(0.5 / 0.57879, rel=1e-4)
    assert found["a"].large


def test_another_shape_of_the_same_mean_is_seen():
    """All at 0 and half at each end."""
    found = drift_of([0.0] * 500, [1.0, -1.0] * 250)
    assert found["a"].shift == 0
    assert found["a"].large


def test_chance_is_no_drift():
    """30 of the same uniform values beside 10,000, 100 times: next to none is called one."""
    draw = random.Random(1)
    before = [draw.uniform(-1, 1) for _ in range(10_000)]
    called = [drift_of([draw.uniform(-1, 1) for _ in range(30)], before)["a"].large for _ in range(100)]
    assert sum(called) <= 12


def test_nothing_varied_before():
    """No shift can be told in units of nothing; the shape still is."""
    found = drift_of([0.5] * 100, [-0.5] * 100)
    assert found["a"].shift is None
    assert found["a"].large


def test_what_was_not_seen_before_is_left_out():
    """An agent type of its first night."""
    assert drifts(strata([1.0]), {}) == []
