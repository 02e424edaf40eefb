"""The checkpoint that a folder holds which a person names: one of ours, a whole model, or an adapter from elsewhere.

Imports no torch, and reads no weights but to take their digest.
"""

import json
from pathlib import Path
from typing import Any

from core.checkpoint import Checkpoint, weights_digest
from core.config import models
from core.errors import ModelError
from core.language.config import DEFAULT_CONTEXT, ModelConfig, model_config
from core.training.spec import TrainingSpec

TRAINED = "trained.json"
"""What a training stage leaves beside its weights: the checkpoint, described."""
SPEC = "spec.json"
"""What a training stage was asked for."""
EPOCH = "epoch-"
"""The weights after each pass over the rows, beside the ones that were kept."""
ADAPTER = "adapter_config.json"
GIVEN = "given"


def checkpoint_in(folder: Path) -> Checkpoint:
    """The checkpoint a folder holds. Raises: ModelError when it is none, or the base of its adapter can't be told."""
    if folder.name.startswith(EPOCH) and (folder.parent / SPEC).is_file():
        return _of_an_epoch(folder)
    for place in (folder / TRAINED, folder.parent / TRAINED):
        if place.is_file():
            return Checkpoint.model_validate_json(place.read_text(encoding="utf-8"))
    if (folder / ADAPTER).is_file():
        return _given(folder, "adapter", _base_of(folder / ADAPTER))
    if (folder / "config.json").is_file():
        return _given(folder, "merged", str(folder.resolve()))
    raise ModelError(
        f"{folder} holds neither {TRAINED} nor a whole model (config.json and *.safetensors) nor an adapter ({ADAPTER}): "
        "give a stage's folder, or one of these"
    )


def _given(folder: Path, kind: Any, base_model: str) -> Checkpoint:
    return Checkpoint(
        kind=kind,
        path=str(folder.resolve()),
        sha256=weights_digest(folder),
        base_model=base_model,
        method=GIVEN,
    )


def _of_an_epoch(folder: Path) -> Checkpoint:
    """What a training stage had learned by the end of an epoch: parents as the stage's own result has them."""
    spec = TrainingSpec.model_validate_json((folder.parent / SPEC).read_text(encoding="utf-8"))
    return Checkpoint(
        kind="adapter",
        path=str(folder.resolve()),
        sha256=weights_digest(folder),
        base_model=spec.model,
        method=spec.settings.method,
        parents=(spec.snapshot.sha256, *((spec.start.sha256,) if spec.start else ())),
        notes={"said": [f"the weights after {folder.name.replace('-', ' ')}"]},
    )


def _base_of(path: Path) -> str:
    """The model that an adapter says it lies on, by the name it has here. Raises: ModelError."""
    settings = _read(path)
    name, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    kind = settings.get("peft_type", "LORA")
    if kind != "LORA":
        raise ModelError(f"{path} is a {kind} adapter: only LoRA adapters can be read")
    if not isinstance(name, str) or not name.strip():
        raise ModelError(f"{path} does not say its base model: set base_model_name_or_path there")
    model = _model_called(name, path)
    if revision not in (None, "", model.revision):
        raise ModelError(
            f"{path} is of revision '{revision}' of {name}, and '{model.name}' is '{model.revision}': add a file to "
            "configs/models with that revision, and set base_model_name_or_path to its name"
        )
    return model.name


def _model_called(name: str, path: Path) -> ModelConfig:
    """A model file of that name, source or hub id; else a folder that is there, or a hub id."""
    for known in map(model_config, models()):
        if name in (known.name, known.source, known.hub_id):
            return known
    place = Path(name).expanduser()
    if place.is_absolute() and (place / "config.json").is_file():
        return model_config(str(place))
    if not place.is_absolute() and not name.startswith(".") and name.count("/") == 1:
        return ModelConfig(name=name, source=name, context_length=DEFAULT_CONTEXT)
    raise ModelError(
        f"the base model of the adapter in {path.parent} can't be told: its {path.name} says '{name}', which is no model "
        f"of configs/models ({', '.join(models())}), no hub id (owner/name) and no folder with a model here; set "
        "base_model_name_or_path there"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} can't be read as JSON ({error}): copy the adapter again") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{path} is no mapping: copy the adapter again")
    return settings
