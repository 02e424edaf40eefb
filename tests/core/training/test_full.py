"""Memory that runs out in the middle of a run is one line that says what to set."""

import pytest
import torch

from core.errors import ModelError, TrainingError
from core.training.config import SftSettings
from core.training.full import memory_may_run_out

NEVER = 10**15
"""More bytes than any machine has."""


def test_a_full_machine_is_a_training_error():
    """The allocator's own words come last."""
    with (
        pytest.raises(
            TrainingError,
            match=r"^memory ran out while sft was trained: raise gradient_accumulation_steps from 1 to 2 or set "
            r"gradient_checkpointing to true \(.*allocate",
        ) as error,
        memory_may_run_out(SftSettings(batch_size=8)),
    ):
        torch.empty(NEVER, dtype=torch.uint8)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        (
            {"batch_size": 6, "gradient_accumulation_steps": 3, "gradient_checkpointing": True},
            "raise gradient_accumulation_steps from 3 to 6",
        ),
        (
            {"batch_size": 8, "processes": 2, "gradient_accumulation_steps": 4},
            "set gradient_checkpointing to true",
        ),
        ({"batch_size": 1, "gradient_checkpointing": True}, "take a smaller model or a larger machine"),
    ],
)
def test_what_is_named_can_be_set(changes, remedy):
    """Passes divide the step's groups among processes, and what is set already helps no more."""
    settings = SftSettings(**changes)
    with (
        pytest.raises(TrainingError, match=rf"while sft was trained: {remedy} \(CUDA out of memory"),
        memory_may_run_out(settings),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nof 8 GiB")


@pytest.mark.parametrize(
    "error",
    [
        TrainingError("the server says: out of memory"),
        ModelError("no room"),
        RuntimeError("sizes do not match"),
    ],
)
def test_all_other_errors_pass(error):
    """As they are: those that say what to do already, and those that are no matter of memory."""
    with pytest.raises(type(error)) as caught, memory_may_run_out(SftSettings()):
        raise error
    assert caught.value is error
