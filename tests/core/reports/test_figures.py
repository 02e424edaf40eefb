"""Pictures are small PNGs, equal for equal figures, and none fails on a hole in the data."""

import math

import numpy as np
import pytest

from core.reports import (
    Curve,
    Span,
    confidence_histogram,
    interval_plot,
    loss_curve,
    reward_curve,
    strata_plot,
)
from core.reports.figures import _running_mean

STEPS = np.arange(200)
NOISE = np.random.default_rng(0).normal(0, 0.1, 200)
SPANS = [
    Span(f"policy number {number}", number / 20, number / 25, number / 15, number == 3) for number in range(9)
]


def pictures():
    """One of each."""
    long = Curve(STEPS, 2 * np.exp(-STEPS / 40) + NOISE)
    regret = {"greedy": Curve([0, 100], [0.3, 0.2]), "sampled": Curve([0, 100], [0.4, 0.3])}
    return {
        "loss": loss_curve(long, Curve([0, 100, 199], [2.1, 1.2, 1.0]), target=0.5),
        "reward": reward_curve(long, regret),
        "intervals": interval_plot(SPANS, SPANS[1:], ("title", "difference"), rate=True),
        "strata": strata_plot(
            range(1, 13), {"a": NOISE[:12], "b": NOISE[12:24], "c": NOISE[24:36]}, "seat", "by seat"
        ),
        "confidence": confidence_histogram(np.linspace(0, 1, 300).tolist(), chance=1 / 8),
    }


def size(png):
    """Width and height as the PNG's header gives them."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_pictures_are_small_pngs():
    """Under 60 kB each, so that a report with five stays under 200 kB; wide enough to read."""
    for png in pictures().values():
        assert png.startswith(b"\x89PNG")
        assert len(png) < 30_000
        assert size(png)[0] >= 700


def test_equal_figures_give_equal_bytes():
    """No time stamp and no random part."""
    assert pictures() == pictures()


def test_more_policies_give_a_taller_plot():
    """Nine labels get the room that nine lines need."""
    assert size(interval_plot(SPANS, [], ("a", "b")))[1] > size(interval_plot(SPANS[:3], [], ("a", "b")))[1]


@pytest.mark.parametrize("values", [[], [math.nan], [0.5], [0.5, math.nan, 0.4]])
def test_holes_in_the_data_are_drawn_as_holes(values):
    """A run that recorded nothing, or a NaN, still has a picture."""
    curve = Curve(range(len(values)), values)

    assert loss_curve(curve).startswith(b"\x89PNG")
    assert reward_curve(curve, {"greedy": curve}).startswith(b"\x89PNG")
    assert confidence_histogram(values).startswith(b"\x89PNG")


def test_a_policy_without_an_interval_is_a_point():
    """Nothing is drawn that was not measured."""
    assert interval_plot([Span("alone", 0.1)], [], ("a", "b")).startswith(b"\x89PNG")


def test_running_mean_by_hand():
    """Three values around each, fewer at the ends; gaps are left out of the mean."""
    assert _running_mean(np.array([1.0, 2.0, 6.0, 7.0]), 3).tolist() == [1.5, 3.0, 5.0, 6.5]
    assert _running_mean(np.array([1.0, np.nan, 3.0]), 3).tolist() == [1.0, 2.0, 3.0]
