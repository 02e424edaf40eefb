"""Everything a training process needs to know, as one record that travels by file."""

from pathlib import Path
from typing import Any

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

    @property
    def asked(self) -> dict[str, Any]:
        """All that decides the weights, by dotted names: not where rows, start and result lie on this machine."""
        sections = {self.settings.method: self.settings, "adapter": self.adapter}
        return {
            "model": self.model,
            "method": self.settings.method,
            "rows": self.snapshot.sha256,
            "start": self.start.sha256 if self.start else None,
            **{
                f"{section}.{name}": value
                for section, settings in sections.items()
                for name, value in settings.model_dump(mode="json").items()
            },
        }
