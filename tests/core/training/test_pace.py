"""How long a run will take, and what is told of it."""

import pytest

from core.training import pace
from core.training.pace import Pace, StepFigures
from core.training.progress import TrainingProgress, in_words


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = {"at": 100.0}
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now["at"])
    return now


def test_what_is_left_counts_steps_looks_and_saves_apart(clock, settings_of):
    """Steps of 2 s, looks of 10 and saves of 1: of 12 steps, looks every 4 and saves every 3, after step 2."""
    timed = Pace(settings_of["sft"](), 12)
    assert timed.seconds_left(0) is None
    for _ in range(2):
        clock["at"] += 2.0
        assert timed.step() == 2.0
    for kind, seconds in (("look", 10.0), ("save", 1.0)):
        with timed.pause(kind):
            clock["at"] += seconds
    assert timed.seconds_left(2) == 10 * 2.0 + 3 * 10.0 + 3 * 1.0
    assert timed.seconds_left(11) == 2.0 + 10.0
    assert timed.seconds_left(12) == 0.0


def test_going_back_and_starting_again_leave_the_pace_what_it_was(clock, settings_of):
    """After step 10 back to step 4: the time that lay between is no step's, and eight steps are left."""
    timed = Pace(settings_of["sft"](eval_every=100, save_every=100), 12)
    for _ in range(10):
        clock["at"] += 2.0
        timed.step()
    clock["at"] += 500.0
    timed.start()
    assert timed.seconds_left(4) == 8 * 2.0
    clock["at"] += 2.0
    assert timed.step() == 2.0


def test_figures_of_passes_are_weighed_by_their_shares():
    """Three tokens at 1 and one at 5 are 2 on the mean; what is no number, and what only keeps company, is left out."""
    figures = StepFigures()
    figures.add({"kl": 1.0, "margin": float("nan")}, 0.75, 30)
    figures.add({"kl": 5.0, "margin": 2.0}, 0.25, 10)
    figures.add({"kl": 99.0}, 0.0, 10)
    assert figures.take() == ({"kl": 2.0, "margin": 2.0}, 40)
    assert figures.take() == ({}, 0)


def test_a_line_says_the_rate_and_the_time_left():
    """With what is known; a sentence stands for itself."""
    metrics = {"loss": 0.5, "tokens_per_second": 331.7, "seconds_left": 3725.0, "learning_rate": 1e-4}
    at = TrainingProgress(phase="train", step=3, total_steps=9, metrics=metrics, time=0.0)
    assert in_words(at) == "train, step 3 of 9, 332 tokens/s, 1:02:05 left: loss 0.5"
    short = at.model_copy(update={"metrics": {"seconds_left": 65.0}, "phase": "eval"})
    assert in_words(short) == "eval, step 3 of 9, 1:05 left"
    assert in_words(at.model_copy(update={"said": "went back"})) == "went back"
