"""What a checkpoint's record says is the same whoever trained it."""

import time

from core.training.config import SftSettings
from core.training.notes import not_done, run_notes


def test_the_notes_have_the_same_names_for_every_backend():
    """Sentences without words are left out; weights are in full and a run went to its end unless it is said."""
    notes = run_notes(
        ["one", "", "two"],
        dropped={"equal rewards": 1},
        dtype="fp32",
        total_steps=3,
        started=time.perf_counter(),
    )
    assert notes.pop("seconds") >= 0
    assert notes == {
        "said": ["one", "two"],
        "dropped": {"equal rewards": 1},
        "dtype": "fp32",
        "quantization": "none",
        "total_steps": 3,
        "stopped": "",
    }


def test_what_another_trainer_does_not_do_is_said():
    """That it does not go back, always; that its base weights are in full, where 'auto' left that open."""
    (back,) = not_done("TRL", SftSettings(trainer="trl"))
    assert back == "TRL does not go back (max_rollbacks): a loss or gradient that is no number is an error"
    said = not_done("TRL", SftSettings(trainer="trl", quantization="auto"))
    assert said == [back, "full base weights: TRL trains on no 4-bit ones"]
