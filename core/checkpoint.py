"""Trained weights as references: what they are, and what they grew from."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from core.errors import ModelError
from core.files import digest, file_digest
from core.record import Record


class Checkpoint(Record):
    """Weights in a folder: a base model, a LoRA adapter on one, or both merged.

    `base_model` names the model file (configs/models) an adapter belongs to; `parents` are the digests of the
    snapshot it was trained on and of the checkpoint it started from.
    """

    kind: Literal["base", "adapter", "merged"]
    path: str
    sha256: str
    base_model: str
    method: str
    parents: tuple[str, ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    notes: dict[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """A short name for tables: method and digest."""
        return f"{self.method}-{self.sha256[:8]}"


def weights_digest(folder: Path) -> str:
    """One digest for all weight files of a folder, independent of where the folder lies.

    Raises: ModelError when there are none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} holds no *.safetensors: give a folder with trained weights")
    return digest([(file.name, file_digest(file)) for file in files])
