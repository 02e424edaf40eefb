"""A trained model in the draft room: what it is asked, what it answers, and how sure it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.checkpoint import Checkpoint
from core.use_cases.fantasy_draft.rules import Floats, Ints
from core.use_cases.fantasy_draft.shortlist import Shortlist

if TYPE_CHECKING:
    from core.language.choice import ChoicePolicy

CONFIDENCE_BINS = 20
BYTES_KEPT = 4_000_000_000
"""Models whose files are no larger together stay in memory between looks; of larger ones only the one that plays."""


@dataclass(slots=True)
class Models:
    """Checkpoints ready to answer. All answer in the type the candidate was trained in."""

    dtype: str
    keep: bool
    """Whether one is needed again after the others have played: between looks."""
    ready: dict[str, "ChoicePolicy"] = field(default_factory=dict)
    """By digest."""

    def open(self, checkpoint: Checkpoint) -> "ChoicePolicy":
        """A checkpoint's policy, loaded when it isn't in memory. Raises: ModelError when it can't be loaded."""
        from core.language.choice import ChoicePolicy  # noqa: PLC0415  (torch: a tournament of scripts needs none)

        if checkpoint.sha256 not in self.ready:
            if not self.keep or (len(self.ready) + 1) * _bytes(checkpoint) > BYTES_KEPT:
                self.ready.clear()
            self.ready[checkpoint.sha256] = ChoicePolicy(checkpoint, dtype=self.dtype)
        return self.ready[checkpoint.sha256]


def _bytes(checkpoint: Checkpoint) -> int:
    """What a checkpoint's weights take on the disk, an adapter's base included."""
    from core.language.model import base_checkpoint  # noqa: PLC0415

    whole = base_checkpoint(checkpoint.base_model) if checkpoint.kind == "adapter" else checkpoint
    return sum(file.stat().st_size for file in Path(whole.path).glob("*.safetensors"))


@dataclass(slots=True)
class Drafter:
    """A model that picks from shortlists, and how sure it was of its picks."""

    model: Callable[[], "ChoicePolicy"]
    greedy: bool
    asked: Callable[[int], None]
    tokens: int = 0
    confidences: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    """What a guess among the legal letters would have been worth, decision by decision."""

    def choose(self, shortlist: Shortlist, luck_N_2: Floats) -> Ints:
        """Places in the shortlist, (N,): the likeliest legal letter, or one drawn with the league's own dice."""
        rows, model = range(len(shortlist)), self.model()
        read = model.tokens_read
        found = model.probabilities(
            [shortlist.prompt(row) for row in rows], [shortlist.completions(row) for row in rows]
        )
        self.tokens += model.tokens_read - read
        places = np.empty(len(shortlist), np.int64)
        for row, probabilities in enumerate(found):
            drawn = np.searchsorted(
                probabilities.cumsum(), luck_N_2[row, 0] * probabilities.sum(), side="right"
            )
            answer = probabilities.argmax() if self.greedy else min(int(drawn), len(probabilities) - 1)
            places[row] = np.flatnonzero(shortlist.legal_N_C[row])[answer]
            self.confidences.append(float(probabilities[answer]))
            self.entropies.append(float(-(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum()))
            self.chances.append(1 / len(probabilities))
        self.asked(len(shortlist))
        return places

    def counts(self) -> dict[str, float]:
        """What it was asked, and what its picks say of themselves: means, and a histogram by twentieths."""
        counts = {"decisions": float(len(self.confidences)), "tokens": float(self.tokens)}
        if not self.confidences:
            return counts
        heights, _ = np.histogram(self.confidences, CONFIDENCE_BINS, (0, 1))
        bins = {f"confidence bin {place:02d}": float(height) for place, height in enumerate(heights)}
        means = {"confidence": self.confidences, "entropy": self.entropies, "chance": self.chances}
        return counts | {name: float(np.mean(values)) for name, values in means.items()} | bins
