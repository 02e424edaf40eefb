"""Build llama.cpp into this Python environment, with the converter of the same source beside it.

`python -m deployments.install_llama_cpp` does nothing when it is there already; `--check` only says whether it is.
The package has no wheels: it is compiled here, by the system's C/C++ compiler, which prerequisites.sh asks for (CMake
and Ninja come from PyPI where the system has none).
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from core.errors import ExportError, OvernightError
from core.exporting.converter import LLAMA_CPP_PACKAGE, converter_folder, llama_cpp_version, missing_tools
from core.files import new_folder, write_json

VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
"""Of llama_cpp_python-0.3.36.tar.gz: runtime and converter are one source, so they can't disagree about the format."""
CMAKE_ARGS = "-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF"
BUILD_CPU_SECONDS = 250
_KEPT = ("conversion/", "gguf-py/gguf/", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "LICENSE")
_ROOT = Path(__file__).resolve().parents[1]
_CONSTRAINTS = _ROOT / "constraints.txt"
_MARK = "installed.json"


def main() -> int:
    """Install, unless it is there; 0 when it is there in the end."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--check", action="store_true", help="only say whether it is installed")
    if is_installed():
        return 0
    if arguments.parse_args().check:
        print(f"llama.cpp is not installed: {missing_tools() or 'another version is'}", file=sys.stderr)
        return 1
    try:
        install()
    except OvernightError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def is_installed() -> bool:
    """Whether the pinned package and its converter are both there."""
    try:
        mark = json.loads((converter_folder() / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return mark == {"sha256": SHA256, "version": VERSION} and llama_cpp_version() == VERSION


def install() -> None:
    """Download, check, build, and lay the converter beside it. Raises: ExportError, StorageError."""
    minutes = max(1, round(BUILD_CPU_SECONDS / (os.cpu_count() or 1) / 60))
    print(f"Building llama.cpp for this environment: about {minutes} min, once", flush=True)
    with tempfile.TemporaryDirectory(prefix="overnight-llama-cpp-") as folder:
        source = _download(Path(folder))
        if llama_cpp_version() != VERSION:
            _build(source)
        _extract_converter(source, converter_folder())


def _download(folder: Path) -> Path:
    """The source archive; pip holds it against the digest."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{LLAMA_CPP_PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    options = ("--no-deps", "--no-binary", LLAMA_CPP_PACKAGE, "-d", str(folder))
    _pip("download", *options, "-r", str(wanted), doing="download llama.cpp's source")
    return next(folder.glob("*.tar.gz"))


def _build(source: Path) -> None:
    options = ("-c", str(_CONSTRAINTS)) if _CONSTRAINTS.is_file() else ()
    environment = {
        "CMAKE_ARGS": f"{CMAKE_ARGS} {os.environ.get('CMAKE_ARGS', '')}".strip(),
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
    }
    _pip("install", *options, str(source), doing="build llama.cpp", environment=environment)


def _pip(command: str, *options: str, doing: str, environment: Mapping[str, str] | None = None) -> None:
    log = Path(sys.prefix) / "install-llama-cpp.log"
    call = [sys.executable, "-m", "pip", command, "--disable-pip-version-check", *options]
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(
            call,
            env={**os.environ, **(environment or {})},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line]
        raise ExportError(
            f"can't {doing}: {lines[-1].strip() if lines else 'no reason given'} (all of it: {log})"
        )


def _extract_converter(source: Path, target: Path) -> None:
    """Appears whole, with the mark written last."""
    with new_folder(target) as stage:
        with tarfile.open(source) as archive:
            for member in archive:
                _, _, path = member.name.partition("/vendor/llama.cpp/")
                if path.startswith(_KEPT) and member.isfile():
                    member.name = path
                    archive.extract(member, stage, filter="data")
        write_json(stage / _MARK, {"version": VERSION, "sha256": SHA256})


if __name__ == "__main__":
    sys.exit(main())
