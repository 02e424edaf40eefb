"""When a run saves."""

import pytest

from core.training.rhythm import is_due


@pytest.mark.parametrize(
    ("every", "updates", "steps"),
    [
        (3, 1, [3, 6, 9, 12]),
        (3, 2, [4, 6, 10, 12]),
        (2, 3, [3, 6, 9, 12]),
        (5, 4, [8, 12]),
    ],
)
def test_a_run_saves_as_often_as_asked_for_but_between_draws(every, updates, steps):
    """Each multiple of `every` is saved at the next step that ends a draw, and no draw is cut in two."""
    assert [step for step in range(1, 13) if is_due(step, every, updates)] == steps
