"""Memory that ran out while a run was under way: what could not be known before it (core/training/memory.py)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from core.errors import OvernightError, TrainingError, one_line
from core.training.config import MethodSettings

_SAID = ("out of memory", "can't allocate memory")
"""By allocators that have no exception of their own: a CPU's, and Apple's."""


@contextmanager
def memory_may_run_out(settings: MethodSettings) -> Iterator[None]:
    """A block that trains. Raises: TrainingError with what to set when the memory does not suffice."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, OvernightError) or not _is_full(error):
            raise
        raise TrainingError(
            f"memory ran out while {settings.method} was trained: {_remedy(settings)} ({one_line(error)})"
        ) from error


def _is_full(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _SAID)


def _remedy(settings: MethodSettings) -> str:
    now, widest = settings.gradient_accumulation_steps, settings.batch_size // settings.processes
    more = next((parts for parts in range(now + 1, widest + 1) if widest % parts == 0), None)
    found = [f"raise gradient_accumulation_steps from {now} to {more}"] if more else []
    if not settings.gradient_checkpointing:
        found.append("set gradient_checkpointing to true")
    return " or ".join(found) or "take a smaller model or a larger machine"
