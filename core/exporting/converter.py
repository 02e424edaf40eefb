"""The pinned Hugging Face to GGUF converter: where it lies, and one way to run it. Imports no torch."""

import errno
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.errors import ExportError
from core.files import storage_error

LLAMA_CPP_PACKAGE = "llama-cpp-python"
INSTALL_HINT = "run `make install` (it builds llama.cpp, once)"
MODEL_SCRIPT = "convert_hf_to_gguf.py"
ADAPTER_SCRIPT = "convert_lora_to_gguf.py"
_FULL = re.compile(rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG})\]")


def converter_folder() -> Path:
    """Where the converter lies: OVERNIGHT_LLAMA_CPP, else beside the Python environment's packages."""
    override = os.environ.get("OVERNIGHT_LLAMA_CPP")
    return Path(override) if override else Path(sys.prefix) / "share" / "overnight" / "llama.cpp"


def missing_tools() -> str | None:
    """What of llama.cpp is not installed, as half a sentence; None when all is there."""
    if llama_cpp_version() is None:
        return f"{LLAMA_CPP_PACKAGE} is not installed"
    script = converter_folder() / MODEL_SCRIPT
    return None if script.is_file() else f"llama.cpp's converter is missing ({script})"


def require_tools() -> None:
    """Raises: ExportError when llama.cpp or its converter is not installed."""
    missing = missing_tools()
    if missing:
        raise ExportError(f"{missing}: {INSTALL_HINT}")


def llama_cpp_version() -> str | None:
    """The installed version of llama-cpp-python."""
    try:
        return version(LLAMA_CPP_PACKAGE)
    except PackageNotFoundError:
        return None


def convert_model(merged: Path, target: Path, name: str) -> None:
    """Write a merged model as f16 GGUF. `name` is what the file calls itself.

    Raises: ExportError, StorageError.
    """
    _run(MODEL_SCRIPT, merged, target, "--model-name", name)


def convert_adapter(adapter: Path, base: Path, target: Path) -> None:
    """Write a PEFT adapter as GGUF for llama.cpp's `--lora`. Raises: ExportError, StorageError."""
    _run(ADAPTER_SCRIPT, adapter, target, "--base", str(base))


def _run(script: str, source: Path, target: Path, *options: str) -> None:
    """Run a conversion script of llama.cpp on a folder, offline, in a process of its own.

    Raises: ExportError with the converter's own reason, StorageError when the disk is full.
    """
    require_tools()
    command = [sys.executable, str(converter_folder() / script), str(source), *options]
    command += ["--outtype", "f16", "--outfile", str(target)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode and (full := _FULL.search(done.stderr)):
        raise storage_error(target, OSError(int(full[1]), os.strerror(int(full[1]))))
    if done.returncode:
        raise ExportError(f"{source.name} can't be converted to GGUF: {_reason(done.stderr)}")


def _reason(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if "pre-tokenizer was not recognized" in log:
        return "llama.cpp does not know this tokenizer's pre-tokenizer; use a model family it supports"
    return (lines[-1] if lines else "the converter ended without a word")[:300]
