"""GGUF files: made from a merged model, quantised in process by llama.cpp, and read back before anyone loads them."""

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt
from gguf import GGUFReader, GGUFValueType
from gguf.gguf_reader import ReaderTensor

from core.errors import ConfigError, ExportError
from core.exporting.config import LEVELS, NOT_QUANTISED
from core.exporting.converter import convert_model
from core.files import file_digest, make_folder, writing
from core.record import Record

_FILE_TYPES = {
    "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q6_k": llama_cpp.LLAMA_FTYPE_MOSTLY_Q6_K,
    "q5_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "q3_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q3_K_M,
}
_BROKEN = (struct.error, ValueError, IndexError, KeyError, TypeError, OverflowError, OSError, MemoryError)
_SHOWN_LEVELS = (2, 3)
"""llama.cpp's log levels for warnings and errors."""


class _Header(GGUFReader):
    """Reads the tensor table and steps over the vocabulary: forty times faster on 49,000 words."""

    def _get_field_parts(
        self, orig_offs: int, raw_type: int
    ) -> tuple[int, list[npt.NDArray[np.generic]], list[int], list[GGUFValueType]]:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        data: Any = self.data
        kind, count = struct.unpack_from("<IQ", data, orig_offs)
        end = orig_offs + 12
        if kind in self.gguf_scalar_to_np:
            end += count * np.dtype(self.gguf_scalar_to_np[GGUFValueType(kind)]).itemsize
        elif kind == GGUFValueType.STRING:
            for _ in range(count):
                end += 8 + struct.unpack_from("<Q", data, end)[0]
        else:
            raise ValueError(f"an array of type {kind} is not known")
        return end - orig_offs, [], [], [GGUFValueType.ARRAY]


class GgufFacts(Record):
    """What a GGUF file holds."""

    parameters: int
    bytes: int
    sha256: str
    bits_per_weight: float
    fallback_share: float
    """Share of the parameters that a K-quant could not take (rows not a multiple of 256) and another type took."""


def write_files(merged: Path, folder: Path, name: str, levels: Sequence[str]) -> dict[str, Path]:
    """Write a merged model as one GGUF file a level, and f16 whatever the levels: the others are made from it.

    Raises: ExportError, StorageError.
    """
    full = make_folder(folder) / f"{name}-f16.gguf"
    convert_model(merged, full, name)
    files = {NOT_QUANTISED: full} | {level: folder / f"{name}-{level}.gguf" for level in levels}
    for level, path in files.items():
        if level != NOT_QUANTISED:
            quantise(full, path, level)
    return files


def quantise(source: Path, target: Path, level: str) -> None:
    """Quantise an f16 GGUF file; the target appears at once and whole.

    Raises: ConfigError for an unknown level, ExportError.
    """
    if level not in _FILE_TYPES:
        raise ConfigError(f"unknown quantisation level '{level}': choose from {', '.join(LEVELS)}")
    read_facts(source)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = _FILE_TYPES[level]
    parameters.nthread = os.cpu_count() or 1
    part = target.with_name(f"{target.name}.part")
    with captured_log() as log:
        failed = llama_cpp.llama_model_quantize(
            os.fsencode(source), os.fsencode(part), ctypes.byref(parameters)
        )
    if failed:
        part.unlink(missing_ok=True)
        reason = " ".join(log)[-300:] or "llama.cpp gives no reason; is the disk full?"
        raise ExportError(f"{source.name} can't be quantised to {level}: {reason}")
    with writing(target):
        part.replace(target)


def read_facts(path: Path, *, level: str = "f16", sha256: str | None = None) -> GgufFacts:
    """Read a GGUF file's header and tensor table, and check that every tensor is there.

    A flipped bit in the weights loads without complaint: only the digest shows it.

    Raises: ExportError when the file is damaged, or is not the one with this digest.
    """
    try:
        tensors = _Header(path).tensors
        actual = file_digest(path)
    except _BROKEN as error:
        raise ExportError(f"{path} is damaged or no GGUF file ({error}): export it again") from error
    if sha256 is not None and actual != sha256:
        raise ExportError(
            f"{path} was changed after it was published (sha256 {actual[:12]}, manifest says {sha256[:12]}): "
            "export it again"
        )
    parameters = sum(int(tensor.n_elements) for tensor in tensors)
    if not parameters:
        raise ExportError(f"{path} holds no weights: export it again")
    return GgufFacts(
        parameters=parameters,
        bytes=path.stat().st_size,
        sha256=actual,
        bits_per_weight=8 * sum(int(tensor.n_bytes) for tensor in tensors) / parameters,
        fallback_share=_fallen_parameters(tensors, level) / parameters,
    )


def _fallen_parameters(tensors: list[ReaderTensor], level: str) -> int:
    """Parameters of a K-quant file's matrices that are not K-quants."""
    if "_k" not in level:
        return 0
    matrices = [tensor for tensor in tensors if len(tensor.shape) > 1]
    return sum(int(tensor.n_elements) for tensor in matrices if not tensor.tensor_type.name.endswith("_K"))


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """Keep llama.cpp's warnings and errors as lines instead of printing everything it says."""
    lines: list[str] = []

    def keep(level: int, text: bytes, _: ctypes.c_void_p) -> None:
        if level in _SHOWN_LEVELS:
            lines.append(text.decode("utf-8", "replace").strip())

    callback = llama_cpp.llama_log_callback(keep)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    try:
        yield lines
    finally:
        llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))


@llama_cpp.llama_log_callback
def _SILENT(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:  # noqa: N802
    """llama.cpp keeps the pointer: the callback must outlive every model."""
