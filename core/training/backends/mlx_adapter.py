"""LoRA adapters in PEFT's format and in mlx-lm's: each matrix transposed, and one scale for all. Needs no mlx.

PEFT: `lora_A` (r, in), `lora_B` (out, r), scale alpha / r. mlx-lm: `lora_a` (in, r), `lora_b` (r, out), a scale of its own.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import ModelError
from core.files import new_folder, write_json

CONFIG = "adapter_config.json"
PEFT_WEIGHTS = "adapter_model.safetensors"
MLX_WEIGHTS = "adapters.safetensors"
_PEFT_NAME = re.compile(
    r"base_model\.model\.(?P<model>.*?)layers\.(?P<layer>\d+)\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight"
)
_MLX_NAME = re.compile(r"(?P<model>.*?)layers\.(?P<layer>\d+)\.(?P<module>.+)\.lora_(?P<side>[ab])")
_ONLY_PEFT = (
    "use_rslora",
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "fan_in_fan_out",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)
"""Options of PEFT that mean another computation than mlx-lm's LoRA layer."""
_SAME_BASE = (True, False, "gaussian", "orthogonal", "eva")
"""First weights that leave the base model's own as they are."""


class _Place(NamedTuple):
    """One matrix of an adapter: the path to the layers, which layer, which linear layer in it, and a or b."""

    model: str
    layer: int
    module: str
    side: str


def peft_to_mlx(source: Path, target: Path, layers: int) -> None:
    """Write a PEFT adapter as a folder that mlx-lm loads; `layers` is how many the model has.

    mlx-lm adapts the last n layers, the same modules in each; where the adapter has none, mlx-lm's does nothing.
    Raises: ModelError when it can't be read or means something mlx-lm's LoRA has no word for, StorageError.
    """
    settings, weights = _read(source, PEFT_WEIGHTS)
    _refuse_more_than_lora(settings, source)
    found = {_place(name, _PEFT_NAME, source): tensor for name, tensor in weights.items()}
    rank = _rank({place: tensor.T for place, tensor in found.items()}, source)
    with new_folder(target) as stage:
        save_file(
            {
                f"{place.model}layers.{place.layer}.{place.module}.lora_{place.side.lower()}": tensor.T.contiguous()
                for place, tensor in found.items()
            },
            stage / MLX_WEIGHTS,
            metadata={"format": "mlx"},
        )
        parameters = {
            "rank": rank,
            "scale": settings["lora_alpha"] / rank,
            "dropout": settings.get("lora_dropout", 0.0),
            "keys": sorted({place.module for place in found}),
        }
        first = min(place.layer for place in found)
        write_json(
            stage / CONFIG,
            {"fine_tune_type": "lora", "num_layers": layers - first, "lora_parameters": parameters},
        )


def mlx_to_peft(source: Path, target: Path, base_model: str) -> None:
    """Write an adapter of mlx-lm as PEFT's; `base_model` is what its config will call the base.

    PEFT's alpha is a whole number: where mlx-lm's scale times the rank is none, B takes what is left of it.
    Raises: ModelError when it can't be read or is no LoRA adapter on linear layers of a model's blocks, StorageError.
    """
    settings, weights = _read(source, MLX_WEIGHTS)
    kind = settings.get("fine_tune_type", "lora")
    if kind != "lora":
        raise ModelError(
            f"{source} is '{kind}' of mlx-lm, no LoRA: PEFT's adapter can't hold it; train by LoRA"
        )
    found = {_place(name, _MLX_NAME, source): tensor for name, tensor in weights.items()}
    rank, parameters = _rank(found, source), settings["lora_parameters"]
    alpha = max(1, round(parameters["scale"] * rank))
    rest = parameters["scale"] / (alpha / rank)
    with new_folder(target) as stage:
        save_file(
            {
                f"base_model.model.{place.model}layers.{place.layer}.{place.module}.lora_{place.side.upper()}.weight": (
                    _scaled(tensor, rest if place.side == "b" else 1.0).T.contiguous()
                )
                for place, tensor in found.items()
            },
            stage / PEFT_WEIGHTS,
            metadata={"format": "pt"},
        )
        LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=parameters.get("dropout", 0.0),
            target_modules=sorted({place.module.rpartition(".")[2] for place in found}),
            layers_to_transform=sorted({place.layer for place in found}),
            task_type="CAUSAL_LM",
            base_model_name_or_path=base_model,
            inference_mode=True,
        ).save_pretrained(str(stage))


def _read(folder: Path, weights: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / weights)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{folder} holds no adapter that can be read ({error}): {CONFIG} and {weights} are needed"
        ) from error
    if not tensors:
        raise ModelError(f"{folder / weights} holds no tensors: train the adapter again")
    return settings, tensors


def _refuse_more_than_lora(settings: Mapping[str, Any], source: Path) -> None:
    used = [name for name in _ONLY_PEFT if settings.get(name)]
    if settings.get("bias", "none") != "none":
        used.append("bias")
    if settings.get("init_lora_weights", True) not in _SAME_BASE:
        used.append("init_lora_weights")
    if settings.get("peft_type") != "LORA":
        used.append("peft_type")
    if used:
        named = ", ".join(f"{name} {settings.get(name)!r}" for name in used)
        raise ModelError(
            f"{source} can't be an adapter of mlx-lm, which has plain LoRA only: it uses {named}"
        )


def _place(name: str, pattern: re.Pattern[str], source: Path) -> _Place:
    match = pattern.fullmatch(name)
    if match is None:
        raise ModelError(
            f"{source} can't be converted: {name} is no LoRA matrix of a linear layer in a model's blocks; "
            "train without adapters on embeddings, the head or experts"
        )
    return _Place(match["model"], int(match["layer"]), match["module"], match["side"])


def _rank(found: Mapping[_Place, Tensor], source: Path) -> int:
    """The one rank of all matrices, which come as (in, r) and (r, out)."""
    axes = {tensor.dim() for tensor in found.values()}
    ranks = {tensor.shape[-1 if place.side in "aA" else 0] for place, tensor in found.items()}
    if len(ranks) > 1 or axes != {2}:
        raise ModelError(
            f"{source} can't be converted: its matrices have the ranks {sorted(ranks)} on {sorted(axes)} axes; "
            "one rank and two axes are possible"
        )
    return ranks.pop()


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    return tensor if factor == 1 else (tensor.double() * factor).to(tensor.dtype)
