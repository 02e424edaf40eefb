"""Settings: `default.yaml`, a preset that holds only what differs, then dotted overrides.

Merged deeply and validated before any work starts; what is wrong is named with its key, what it may be and what it was.
"""

import difflib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeGuard, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from core.errors import ConfigError, one_line
from core.record import Record

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
LONGEST_SHOWN = 100
"""Characters of a wrong value in a message."""
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
    values: dict[str, Any] = {}
    for name in dict.fromkeys(("default", preset)):
        path = CONFIGS / folder / f"{name}.yaml"
        values = _laid_over(kind, values, read_yaml(path), str(path))
    where = f"configs/{folder}, preset '{preset}'"
    for key, value in (overrides or {}).items():
        values = _laid_over(kind, values, _nested(key, value), f"{where}, overrides")
    _need_finite(values, where)
    return validate(kind, values, where)


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
        by_key: dict[str, list[Any]] = {}
        for item in error.errors():
            by_key.setdefault(_key(kind, item["loc"]), []).append(item)
        problems = "; ".join(_problem(kind, key, items) for key, items in by_key.items())
        raise ConfigError(f"{where}: {problems}") from error


def _need_finite(values: dict[str, Any], where: str, prefix: str = "") -> None:
    """No setting means anything at infinity, and the store can't hold one. Raises: ConfigError."""
    for key, value in values.items():
        if isinstance(value, dict):
            _need_finite(value, where, f"{prefix}{key}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{where}: '{prefix}{key}' is {value}: give a number")


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _laid_over(
    kind: type[Record], base: dict[str, Any], change: dict[str, Any], where: str
) -> dict[str, Any]:
    """`base` merged with `change`. Raises: ConfigError when a section would become something else.

    Later changes can't be laid over a lost section, and its other keys would seem to be missing from default.yaml.
    """
    for key, section, value in _lost_sections(kind, change):
        first = next(iter(section.model_fields), "")
        raise ConfigError(
            f"{where}: '{key}' is a section of settings and can't become {_shown(value)}: "
            f"name the settings that differ, such as '{key}.{first}', or leave it out"
        )
    return merge(base, change)


def _lost_sections(
    kind: type[Record], change: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, type[Record], Any]]:
    for name, value in change.items():
        field = kind.model_fields.get(name)
        section = field.annotation if field else None
        if not _is_section(section):
            continue
        if isinstance(value, dict):
            yield from _lost_sections(section, value, f"{prefix}{name}.")
        else:
            yield prefix + name, section, value


def _is_section(annotation: Any) -> TypeGuard[type[Record]]:
    return isinstance(annotation, type) and issubclass(annotation, Record)


def _key(kind: type[Record], location: Sequence[int | str]) -> str:
    """Where pydantic found something wrong, without the branches of a union that it names after the key."""
    section: type[Record] | None = kind
    parts = []
    rest = iter(location)
    for part in rest:
        parts.append(str(part))
        field = section.model_fields.get(str(part)) if section else None
        annotation = field.annotation if field else None
        branches = [branch for branch in get_args(annotation) if branch is not NoneType]
        if field is not None and isinstance(field.discriminator, str):
            section = _branch(branches, field.discriminator, next(rest, None))
            continue
        if get_origin(annotation) in (Union, UnionType) and len(branches) > 1:
            break
        section = next((inner for inner in (annotation, *branches) if _is_section(inner)), None)
    return ".".join(parts)


def _branch(branches: Sequence[type[Record]], name: str, tag: int | str | None) -> type[Record] | None:
    """The branch of a union whose setting `name` is the tag that pydantic names."""
    return next((branch for branch in branches if branch.model_fields[name].default == tag), None)


def _problem(kind: type[Record], key: str, items: Sequence[Any]) -> str:
    """What is wrong with one key; every branch of a union complains of it."""
    first = items[0]
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_meant(key, _keys(kind))}"
    if first["type"] == "missing":
        return f"'{key}' is missing: add it"
    said = " or ".join(dict.fromkeys(_words(item) for item in items)).replace(" or Input should be ", " or ")
    if first["type"] != "value_error":  # our own validators show the values that matter
        said = f"{said} (got {_shown(first.get('input'))})"
    return f"'{key}': {said}" if key else said


def _words(item: Any) -> str:
    """Pydantic's words, with what YAML calls a Python type."""
    said = str(item["msg"]).removeprefix("Value error, ").split(", unable to parse")[0]
    return said.replace("valid tuple", "list").replace("valid dictionary", "mapping")


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _keys(kind: type[Record], prefix: str = "") -> list[str]:
    keys = []
    for name, field in kind.model_fields.items():
        keys.append(prefix + name)
        candidates = getattr(field.annotation, "__args__", (field.annotation,))
        for inner in candidates:
            if _is_section(inner):
                keys += _keys(inner, f"{prefix}{name}.")
    return keys


def _meant(key: str, known: Sequence[str]) -> str:
    """The setting that was meant: one of the same section by its letters, or one of the same name elsewhere."""
    section, _, name = key.rpartition(".")
    neighbours = [near for near in known if near.rpartition(".")[0] == section]
    names = [near.rpartition(".")[2] for near in neighbours]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    close = close or [each for each in names if "".join(word[:1] for word in each.split("_")) == name]
    meant = [neighbours[names.index(close[0])]] if close else []
    meant = meant or [other for other in known if other.rpartition(".")[2] == name]
    if meant:
        return f": did you mean {' or '.join(map(repr, meant))}?"
    return f": {repr(section) + ' has' if section else 'there are'} {', '.join(names)}" if names else ""


def _closest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f": did you mean '{near[0]}'?"
    return f": choose one of {', '.join(known)}" if len(known) <= 12 else ""
