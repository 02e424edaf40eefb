"""Settings: `default.yaml`, a preset that holds only what differs, then dotted overrides.

Merged deeply and validated before any work starts; an unknown key is an error that names it.
"""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from core.errors import ConfigError, one_line
from core.record import Record

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
AnyRecord = TypeVar("AnyRecord", bound=Record)


def presets(use_case: str) -> tuple[str, ...]:
    """The names of a use case's presets, 'default' first."""
    names = sorted(path.stem for path in (CONFIGS / use_case).glob("*.yaml"))
    return ("default", *(name for name in names if name != "default"))


def models() -> tuple[str, ...]:
    """The names of the model files."""
    return tuple(sorted(path.stem for path in (CONFIGS / "models").glob("*.yaml")))


def load_config(
    kind: type[AnyRecord], folder: str, preset: str = "default", overrides: dict[str, Any] | None = None
) -> AnyRecord:
    """The whole, validated configuration of `configs/<folder>` for one preset.

    `overrides` maps dotted keys to values: {"grpo.learning_rate": 1e-6}. Raises: ConfigError.
    """
    known = presets(folder)
    if preset not in known:
        raise ConfigError(f"unknown preset '{preset}' for {folder}{_closest(preset, known)}")
    values = read_yaml(CONFIGS / folder / "default.yaml")
    if preset != "default":
        values = merge(values, read_yaml(CONFIGS / folder / f"{preset}.yaml"))
    for key, value in (overrides or {}).items():
        values = merge(values, _nested(key, value))
    return validate(kind, values, f"configs/{folder}, preset '{preset}'")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping. Raises: ConfigError when it can't be read or is no mapping."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} can't be read as YAML: {one_line(error)}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold 'key: value' lines, not a {type(values).__name__}")
    return values


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, mapping by mapping; neither is altered."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def validate(kind: type[AnyRecord], values: dict[str, Any], where: str) -> AnyRecord:
    """Values as a record. Raises: ConfigError with every wrong key on one line."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(item, kind) for item in error.errors())
        raise ConfigError(f"{where}: {problems}") from error


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _problem(item: Any, kind: type[Record]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_closest(key, _keys(kind))}"
    if item["type"] == "missing":
        return f"'{key}' is missing: set it in default.yaml"
    return f"'{key}': {item['msg'].removeprefix('Value error, ')} (got {item.get('input')!r})"


def _keys(kind: type[Record], prefix: str = "") -> list[str]:
    keys = []
    for name, field in kind.model_fields.items():
        keys.append(prefix + name)
        candidates = getattr(field.annotation, "__args__", (field.annotation,))
        for inner in candidates:
            if isinstance(inner, type) and issubclass(inner, Record):
                keys += _keys(inner, f"{prefix}{name}.")
    return keys


def _closest(name: str, known: tuple[str, ...] | list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f": did you mean '{near[0]}'?"
    return f": choose one of {', '.join(known)}" if len(known) <= 12 else ""
