"""Everything a training process needs to know, as one record that travels by file."""

from pathlib import Path

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.record import Record
from core.training.config import AdapterSettings, MethodSettings


class TrainingSpec(Record):
    """One training stage: which method on which rows, from which weights, into which folder."""

    model: str
    """A name of configs/models, a hub id, or a folder."""
    settings: MethodSettings
    adapter: AdapterSettings
    """The adapter that is made; training that starts from an adapter goes on with that one's own shape."""
    snapshot: Snapshot
    start: Checkpoint | None = None
    """The weights training starts from and, for all methods but SFT, the reference; None is the untrained model."""
    folder: str
    """Where checkpoints, curves and the result go; a run that was killed goes on from what it finds there."""

    @property
    def result(self) -> Path:
        """The finished checkpoint's record; it exists when training is done."""
        return Path(self.folder) / "trained.json"
