"""The weights after each pass over the rows, kept as whole adapters beside the one that is published."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.files import new_folder, write_json
from core.given_checkpoint import EPOCH
from core.training.checkpoints import START
from core.training.ranks import is_first

ADAPTER_SETTINGS = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Epochs:
    """Folders `epoch-1`, `epoch-2` ... in a training folder. The first process alone writes them."""

    folder: Path
    base_model: str = ""
    """What others call the model that the adapters lie on."""
    ends: Sequence[int] = ()
    """The step that ends each pass; none where nothing is kept."""

    def keep(self, step: int, save: Callable[[Path], None]) -> None:
        """Keep the weights where a step ends a pass (or several, where rows are few). Raises: StorageError."""
        for number, end in enumerate(self.ends, start=1):
            if end == step and is_first():
                with new_folder(self._of(number)) as stage:
                    save(stage)
                    name_base_model(stage, self.base_model)

    def go_on_from(self, checkpoint: Path | None) -> None:
        """Forget what a run will come to once more: it goes on from this checkpoint, or begins."""
        begins = checkpoint is None or checkpoint.name == START
        self.forget(0 if begins else int(str(checkpoint).rpartition("-")[2]))

    def forget(self, step: int) -> None:
        """Remove the weights of the passes that ended after a step."""
        for number, end in enumerate(self.ends, start=1):
            if end > step and is_first():
                shutil.rmtree(self._of(number), ignore_errors=True)

    @property
    def said(self) -> str:
        """For a person: which there are."""
        kept = [place.name for number in range(len(self.ends)) if (place := self._of(number + 1)).is_dir()]
        return f"the weights after each epoch lie beside the result: {', '.join(kept)}" if kept else ""

    def _of(self, number: int) -> Path:
        return self.folder / f"{EPOCH}{number}"


def name_base_model(adapter: Path, base_model: str) -> None:
    """Let an adapter name its base model by what others call it, not by the folder it lies in on this machine."""
    settings = json.loads((adapter / ADAPTER_SETTINGS).read_text(encoding="utf-8"))
    write_json(adapter / ADAPTER_SETTINGS, settings | {"base_model_name_or_path": base_model})
