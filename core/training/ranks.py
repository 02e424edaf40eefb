"""Several processes that train as one: each takes its part of every step, and the first of them decides and writes.

Without `join` there is one process, which is the first.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from core.errors import ConfigError

Value = TypeVar("Value")

_PATIENCE = timedelta(days=1)
"""The others wait while the first looks at held-out groups; a process that ends is noticed by their parent, not here."""


def join(rank: int, processes: int, meeting: Path) -> None:
    """Become one of several processes that meet at a file; each has a GPU of its own, or a part of the CPU.

    Raises: ConfigError when the machine can't hold so many.
    """
    cuda = torch.cuda.is_available()
    if cuda and torch.cuda.device_count() < processes:
        raise ConfigError(
            f"processes {processes} is more than the {torch.cuda.device_count()} GPUs of this machine: lower it"
        )
    if torch.backends.mps.is_available():
        raise ConfigError(f"processes {processes}: Apple's GPU is trained on by one process, set it to 1")
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ.update({name: str(value) for name, value in names.items()})  # where accelerate looks
    if cuda:
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    distributed.init_process_group(
        "nccl" if cuda else "gloo",
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=processes,
        timeout=_PATIENCE,
    )


def rank_and_processes() -> tuple[int, int]:
    """Which of how many processes this is, from 0."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def is_first() -> bool:
    """Whether this process decides and writes."""
    return rank_and_processes()[0] == 0


def from_first(value: Value) -> Value:
    """What the first process has, in every process; all must call it."""
    if rank_and_processes()[1] == 1:
        return value
    held = [value]
    distributed.broadcast_object_list(held, device=_device())
    return held[0]


def sums(values: Sequence[float]) -> list[float]:
    """The sums over all processes; all must call it."""
    if rank_and_processes()[1] == 1:
        return list(values)
    held = torch.tensor(list(values), dtype=torch.float64, device=_device())
    distributed.all_reduce(held)
    return held.tolist()


def wait() -> None:
    """Go on when all processes have come here."""
    sums([0.0])


@contextmanager
def first_then_others() -> Iterator[None]:
    """A block that the first process goes through alone; what it left is there for the others."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


def _device() -> torch.device:
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
