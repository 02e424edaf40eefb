"""A LoRA adapter as others can take it: PEFT weights and config that name the base model by its public id."""

import json
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from core.errors import ExportError
from core.exporting.card import public_name
from core.exporting.merge import check_finite
from core.files import make_folder, write_json, writing

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def write_adapter(adapter: Path, target: Path, base_model: str) -> None:
    """Copy an adapter's weights and config, its local paths replaced by the base model's public id.

    Raises: ExportError when the adapter is incomplete, can't be read or is not finite, StorageError.
    """
    try:
        config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
        weights = load_file(adapter / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise ExportError(
            f"{adapter} holds no adapter that can be read ({error}): {CONFIG} and {WEIGHTS} are needed"
        ) from error
    check_finite(weights, adapter)
    make_folder(target)
    write_json(target / CONFIG, {**config, "base_model_name_or_path": public_name(base_model)})
    with writing(target / WEIGHTS):
        shutil.copyfile(adapter / WEIGHTS, target / WEIGHTS)
