"""Which groups come when, and how large each step is: decided before the first step, by the settings alone."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler

from core.training.config import GrpoSettings, MethodSettings, PpoSettings


class GroupOrder(Sampler[int]):
    """The whole run's order of groups: every epoch a new shuffle, decided by the seed alone.

    With several updates on one draw of completions each batch comes several times in a row (GRPO that draws), or all
    groups are drawn for at once and passed over for `epochs` (PPO online). Then all batches are whole, and none is left
    out: the last one is filled up with the groups that came first.
    """

    updates: int
    """Steps on one draw of completions."""
    epoch_ends: tuple[int, ...]
    """The step that ends each pass over all groups."""

    def __init__(self, groups: int, settings: MethodSettings) -> None:
        stream, size = np.random.default_rng(settings.seed), settings.batch_size
        repeats = _updates(settings)
        everything = isinstance(settings, PpoSettings) and settings.source == "online"
        draws = settings.iterations if isinstance(settings, PpoSettings) and everything else 1
        batches: list[list[int]] = []
        for _ in range(draws):
            order = np.concatenate([stream.permutation(groups) for _ in range(settings.epochs)])
            if repeats > 1 or everything:
                order = np.resize(order, math.ceil(len(order) / size) * size)
            batches += [order[start : start + size].tolist() for start in range(0, len(order), size)]
        a_draw = len(batches) // draws
        self.updates = a_draw if everything else repeats
        passes = [math.ceil(groups * (epoch + 1) / size) for epoch in range(settings.epochs)]
        self.epoch_ends = tuple((draw * a_draw + end) * repeats for draw in range(draws) for end in passes)
        self._order: list[int] = [item for batch in batches for _ in range(repeats) for item in batch]

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)


class MicroBatches(Sampler[list[int]]):
    """One process's part of every step, pass after pass: of the step's groups each `processes`-th, from its rank on."""

    def __init__(
        self, order: GroupOrder, settings: MethodSettings, rank: int = 0, processes: int = 1
    ) -> None:
        """A last step of fewer groups than processes has none for some: these compute its first, for company."""
        places, size = list(order), settings.batch_size
        width = size // (settings.gradient_accumulation_steps * processes)
        steps = [places[start : start + size] for start in range(0, len(places), size)]
        parts = [step[rank::processes] or step[:1] for step in steps]
        self._passes = [part[start : start + width] for part in parts for start in range(0, len(part), width)]
        self._rank, self._sizes = rank, [len(step) for step in steps]

    def __len__(self) -> int:
        return len(self._passes)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._passes)

    def idle(self, step: int) -> bool:
        """Whether nothing of a step (from 0) is this process's own."""
        return self._sizes[step] <= self._rank


def _updates(settings: MethodSettings) -> int:
    """How often in a row a batch is trained on: only what was drawn for it is worth a second update."""
    drawing = isinstance(settings, GrpoSettings) and settings.estimator in ("sampled", "online")
    return settings.num_iterations if drawing and isinstance(settings, GrpoSettings) else 1


def learning_rate_factor(settings: MethodSettings, steps: int) -> Callable[[int], float]:
    """What the learning rate is multiplied by at each step (from 0): rise over the warm-up, then the decay."""
    warmup = max(1, math.ceil(settings.warmup_ratio * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        left = max(0.0, (steps - step) / max(1, steps - warmup))
        if settings.scheduler == "linear":
            return left
        return 0.5 * (1 - math.cos(math.pi * left)) if settings.scheduler == "cosine" else 1.0

    return factor
