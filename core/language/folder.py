"""What a folder must hold to be a language model: settings, weights, tokenizer, chat template. Imports no torch."""

import json
import shutil
from math import prod
from pathlib import Path
from typing import Any

from core.errors import ModelError

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
"""A tokenizer is one of these, with or without the files below."""
TOKENIZER_FILES = (
    *VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)


def check_folder(folder: Path) -> None:
    """Look for everything a model needs, without loading it. Raises: ModelError that names what is missing."""
    if not folder.is_dir():
        raise ModelError(
            f"model folder {folder} does not exist: give a folder, a hub id or a name of configs/models"
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json: give the folder `save_pretrained` wrote")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} has no weights (*.safetensors): copy them there, or convert them first")
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise ModelError(f"{folder} has no tokenizer ({', '.join(VOCABULARIES)}): copy the model's own there")
    if not _has_chat_template(folder):
        raise ModelError(f"{folder} has no chat template: use an instruct model, or add chat_template.jinja")


def parameter_count(folder: Path) -> int:
    """Weights in a folder's safetensors, read from their headers. Raises: ModelError."""
    return sum(_weights(path) for path in folder.glob("*.safetensors"))


def _weights(path: Path) -> int:
    """A safetensors file starts with the length of its header, then the header as JSON."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise ModelError(f"{path} is no safetensors file ({error}): copy the model's own there") from error


def copy_tokenizer(source: Path, target: Path) -> None:
    """A tokenizer's own files, as they are: transformers 5 leaves out `tokenizer.model` when it saves one."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    settings: dict[str, Any] = {}
    path = folder / "tokenizer_config.json"
    if path.is_file():
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"{path} is no JSON ({error}): copy the model's own there") from error
    return bool(settings.get("chat_template"))
