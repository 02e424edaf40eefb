"""The process that traces a model and writes it as ONNX: `python -m core.exporting.onnx_export MODEL TARGET`.

One graph reads a prompt and goes on from it: transformers' exporter traces a step on a padded batch with something in
the cache, and the same graph takes an empty cache. A process of its own, because the exporter replaces functions of
torch while it works.
"""

import re
import sys
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch.export import Dim
from transformers import DynamicCache, PreTrainedModel
from transformers.exporters.configs import OnnxConfig
from transformers.exporters.exporter_onnx import OnnxExporter

from core.errors import ExportError, OvernightError
from core.exporting.onnx_converter import DATA, MODEL
from core.files import writing
from core.language.model import load_weights

_BATCH, _PAST, _NEW = 2, 3, 5
"""The traced step: all different, so that no axis is taken for another, and none 1, which would be fixed."""
_CACHE = re.compile(r"(?:input|output)\.past_key_values\.layers\.(\d+)\.(key|value)s")
_AXES = {
    "input_ids": ("batch", "sequence"),
    "attention_mask": ("batch", "past + sequence"),
    "position_ids": ("batch", "sequence"),
}


def export(source: Path, target: Path) -> None:
    """Write a model's folder as `model.onnx` and its weights beside it, whatever their size.

    Raises: ModelError, ExportError for a model that keeps something else than keys and values, StorageError.
    """
    model = load_weights(source)
    step = _step(model)
    layers = len(step["past_key_values"].layers)
    shapes = {
        "input_ids": {0: Dim.DYNAMIC, 1: Dim.DYNAMIC},
        "attention_mask": {0: Dim.DYNAMIC, 1: Dim.DYNAMIC},
        "position_ids": {0: Dim.DYNAMIC, 1: Dim.DYNAMIC},
        "past_key_values": [{0: Dim.DYNAMIC, 2: Dim.DYNAMIC}] * (2 * layers),
    }
    settings = OnnxConfig(dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True)
    program = OnnxExporter().export(model, step, settings).program
    _name_axes(program.graph)
    ClearMetadataAndDocStringPass()(
        program
    )  # the exporter notes where in this machine's files each node came from
    with writing(target):
        onnx_ir.save(program, target / MODEL, external_data=DATA)


def _step(model: PreTrainedModel) -> dict[str, Any]:
    """A step of generation: new tokens after some in the cache, one row padded on the left."""
    ids_B_T = torch.arange(_BATCH * (_PAST + _NEW)).reshape(_BATCH, -1) % model.config.vocab_size
    mask_B_T = torch.ones_like(ids_B_T)
    mask_B_T[0, : _PAST - 1] = 0
    positions_B_T = (mask_B_T.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache()  # keeps every position: a window is applied by the mask
    with torch.no_grad():
        model(ids_B_T[:, :_PAST], attention_mask=mask_B_T[:, :_PAST], past_key_values=cache, use_cache=True)
    return {
        "input_ids": ids_B_T[:, _PAST:],
        "attention_mask": mask_B_T,
        "position_ids": positions_B_T[:, _PAST:],
        "past_key_values": cache,
        "use_cache": True,
    }


def _name_axes(graph: onnx_ir.Graph) -> None:
    """The names that runtimes for exported language models know, and axes in words."""
    for values, cache, length in (
        (graph.inputs, "past_key_values", "past"),
        (graph.outputs, "present", "past + sequence"),
    ):
        for value in values:
            if value.name == "logits":
                _set_axes(value, ("batch", "sequence"))
            elif value.name in _AXES:
                _set_axes(value, _AXES[value.name])
            elif found := _CACHE.fullmatch(str(value.name)):
                value.name = f"{cache}.{found[1]}.{found[2]}"
                _set_axes(value, ("batch", None, length))
            else:
                raise ExportError(
                    f"this model keeps {value.name} between tokens, not keys and values alone: release it as 'gguf'"
                )


def _set_axes(value: onnx_ir.Value, names: tuple[str | None, ...]) -> None:
    fixed = list(value.shape or ())
    value.shape = onnx_ir.Shape(
        [*(name or axis for name, axis in zip(names, fixed, strict=False)), *fixed[len(names) :]]
    )


if __name__ == "__main__":
    try:
        export(Path(sys.argv[1]), Path(sys.argv[2]))
    except OvernightError as error:
        sys.exit(f"{type(error).__name__}: {error}")
