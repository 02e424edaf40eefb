"""What the formats need that an installation may lack. Imports neither torch nor what it looks for."""

from core.exporting.config import ReleaseSettings
from core.exporting.converter import INSTALL_HINT, missing_tools
from core.exporting.onnx_converter import INSTALL_ONNX, missing_onnx


def not_installed(settings: ReleaseSettings, *, adapter: bool) -> dict[str, str]:
    """What a release lacks, and what to do, by the format that can't be made; empty when all is there.

    `adapter`: whether what is released is one, so that its own file may be asked for as GGUF.
    """
    found = {}
    adapter_gguf = adapter and settings.adapter_gguf and "lora" in settings.formats
    if ("gguf" in settings.formats or adapter_gguf) and (missing := missing_tools()):
        found["gguf"] = f"{missing}: {INSTALL_HINT}"
    if "onnx" in settings.formats and (missing := missing_onnx()):
        found["onnx"] = f"{missing}: {INSTALL_ONNX}"
    return found
