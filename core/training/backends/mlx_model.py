"""A language model in MLX: the same folders and adapters as in torch, measured and answering as there."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from mlx_lm.utils import load_model
from safetensors.mlx import save_file

from core.errors import ModelError, one_line
from core.files import write_json
from core.language.config import ModelConfig
from core.language.model import FloatType
from core.language.row import TokenGroup
from core.training.backends.mlx_adapter import CONFIG, MLX_WEIGHTS, mlx_to_peft, peft_to_mlx
from core.training.config import AdapterSettings

MLX_TYPE = {"bf16": mx.bfloat16, "fp32": mx.float32}


@dataclass(frozen=True, slots=True)
class AdaptedModel:
    """A frozen model with the LoRA layers that are trained, and how mlx-lm describes them."""

    model: Any
    settings: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT's. Raises: StorageError."""
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            save_file(trainable(self.model), Path(name) / MLX_WEIGHTS)
            write_json(Path(name) / CONFIG, self.settings)
            mlx_to_peft(Path(name), folder, "")


def pick_type(wanted: str) -> tuple[FloatType, str]:
    """The type of the frozen weights and a sentence that says why: bf16 on Apple's GPU, fp32 on a CPU."""
    if wanted != "auto":
        return ("bf16" if wanted == "bf16" else "fp32"), f"{wanted} as configured"
    if mx.default_device() == mx.gpu:
        return "bf16", "bf16: MLX computes on the GPU"
    return "fp32", "fp32: MLX computes on the CPU"


def context_length(config: ModelConfig, folder: Path) -> int:
    """Tokens that a row may have: the model file's limit, or the model's own where that is smaller."""
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return min(config.context_length, settings.get("max_position_embeddings", config.context_length))


def stop_tokens(folder: Path) -> list[int]:
    """The tokens that end an answer, as the model was made to; the tokenizer's own comes on top."""
    found: list[int] = []
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            ids = json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id")
            found += ids if isinstance(ids, list) else [ids]
    return sorted({token for token in found if token is not None})


def load_weights(folder: Path, dtype: FloatType) -> Any:
    """A folder's weights in MLX, in evaluation mode. Raises: ModelError.

    On a CPU nothing is compiled: there MLX calls a C++ compiler for every step's shape.
    """
    if mx.default_device() == mx.cpu:
        mx.disable_compile()
    try:
        model, _ = load_model(folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{folder} can't be loaded by mlx-lm ({one_line(error)}): leave trainer at 'group', which uses torch"
        ) from error
    model.set_dtype(MLX_TYPE[dtype])
    return model


def put_adapter(model: Any, adapter: Path) -> AdaptedModel:
    """A model with a PEFT adapter laid on it, which can be trained further. Raises: ModelError."""
    model.freeze()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "mlx"
        peft_to_mlx(adapter, folder, layers=len(model.layers))
        try:
            load_adapters(model, str(folder))
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"the adapter in {adapter} does not fit this model in MLX ({one_line(error)}): "
                "give the checkpoint's own base model"
            ) from error
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return AdaptedModel(model, settings)


def new_adapter(model: Any, settings: AdapterSettings, config: ModelConfig) -> AdaptedModel:
    """A model with a fresh adapter, which changes nothing until it is trained. Raises: ModelError."""
    layers = len(model.layers)
    top = settings.top_layers or layers
    if top > layers:
        raise ModelError(f"adapter.top_layers {top} is more than the {layers} of '{config.name}'")
    keys = sorted({name for layer in model.layers for name in _linear_layers(layer, config.lora_targets)})
    if not keys:
        raise ModelError(
            f"'{config.name}' has no linear layers in MLX by the names {config.lora_targets}: check them"
        )
    parameters = {
        "rank": settings.r,
        "scale": settings.alpha / settings.r,
        "dropout": settings.dropout,
        "keys": keys,
    }
    model.freeze()
    linear_to_lora_layers(model, top, parameters)
    return AdaptedModel(model, {"fine_tune_type": "lora", "num_layers": top, "lora_parameters": parameters})


def trainable(model: Any) -> dict[str, mx.array]:
    """The weights that are trained, by their names."""
    return dict(tree_flatten(model.trainable_parameters()))


def _linear_layers(layer: Any, wanted: Sequence[str]) -> list[str]:
    """The linear layers of one block, by their names in it; `wanted` names some, nothing means all."""
    found = [
        name for name, module in layer.named_modules() if isinstance(module, nn.Linear | nn.QuantizedLinear)
    ]
    return [name for name in found if not wanted or name.rpartition(".")[2] in wanted]


def completion_logprobs(model: Any, groups: Sequence[TokenGroup]) -> list[float]:
    """Log-probability of every completion token, completion after completion, group after group."""
    found: list[float] = []
    for group in groups:
        for completion in group.completions:
            row_T = mx.array(group.prompt + completion)
            logits_T_V = model(row_T[None, :-1])[0, len(group.prompt) - 1 :].astype(mx.float32)
            picked_T = mx.take_along_axis(logits_T_V, mx.array(completion)[:, None], axis=-1)[:, 0]
            found += np.array(picked_T - mx.logsumexp(logits_T_V, axis=-1)).tolist()
    return found
