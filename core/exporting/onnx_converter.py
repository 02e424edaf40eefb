"""ONNX: what its export needs, and one way to run it. Imports no torch."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from core.config import ROOT
from core.errors import ExportError, ModelError, OvernightError, StorageError
from core.files import make_folder, writing
from core.language.folder import copy_tokenizer

MODEL = "model.onnx"
DATA = f"{MODEL}.data"
"""The weights, always beside the graph, whatever their size: a graph that holds them ends at 2 GB."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INSTALL_ONNX = "run `pip install -c constraints.txt -e '.[onnx]'`"
_SETTINGS = ("config.json", "generation_config.json")
_OURS: dict[str, type[OvernightError]] = {
    kind.__name__: kind for kind in (ExportError, ModelError, StorageError)
}
_RAISED = re.compile(r"[\w.]*(?:Error|Exception|Unsupported|Violation)\w*: .+")


def missing_onnx() -> str | None:
    """What of ONNX is not installed, as half a sentence; None when all is there."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if not missing:
        return None
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"


def write_onnx(merged: Path, folder: Path) -> Path:
    """Write a merged model as ONNX in float32, its settings and tokenizer beside it; returns the graph's file.

    The graph is traced by `core.exporting.onnx_export`, in a process of its own.

    Raises: ModelError, ExportError with the exporter's own reason, StorageError.
    """
    make_folder(folder)
    command = [sys.executable, "-m", "core.exporting.onnx_export", str(merged), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise _error(merged.name, done.returncode, done.stderr)
    with writing(folder):
        for name in _SETTINGS:
            if (merged / name).is_file():
                shutil.copyfile(merged / name, folder / name)
        copy_tokenizer(merged, folder)
    return folder / MODEL


def _error(name: str, status: int, log: str) -> OvernightError:
    """What stopped the exporter: our own errors as they are, any other as its one line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    kind, _, words = (lines[-1] if lines else "").partition(": ")
    if kind in _OURS:
        return _OURS[kind](words)
    if status < 0:
        return ExportError(
            f"{name} can't be exported to ONNX: the exporter was ended by signal {-status}; is memory short?"
        )
    raised = [line for line in lines if _RAISED.match(line)]
    reason = [*lines[-1:], *raised[-1:], "the exporter ended without a word"]
    return ExportError(f"{name} can't be exported to ONNX: {reason[1 if raised else 0][:300]}")
