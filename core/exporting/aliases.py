"""The names a slot's files are served under: links `<use case>-<slot>-<format>` to what is in use. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from core.exporting.config import ReleaseFormat
from core.files import data_folder, writing

if TYPE_CHECKING:
    from core.exporting.results import Published


def releases_folder() -> Path:
    """Where releases are published, and the aliases lie beside them."""
    return data_folder() / "releases"


def alias_name(use_case: str, slot: str) -> str:
    """What the aliases of a slot begin with."""
    return f"{use_case.replace('_', '-')}-{slot}"


def point_aliases(use_case: str, slot: str, published: Sequence["Published"]) -> tuple[str, ...]:
    """Let a slot's aliases point at these files; the formats whose files are gone or changed come back.

    The other formats lose their alias: better no name than one that serves a model that is not in use.
    Raises: StorageError.
    """
    from core.exporting.publish import is_intact_folder, switch_alias  # noqa: PLC0415  (slow, and an app asks for names)

    name = alias_name(use_case, slot)
    intact = [made for made in published if is_intact_folder(Path(made.path))]
    for made in intact:
        switch_alias(made, name)
    for format_ in set(get_args(ReleaseFormat)) - {made.format for made in intact}:
        _drop(releases_folder() / f"{name}-{format_}")
    return tuple(made.format for made in published if made not in intact)


def _drop(alias: Path) -> None:
    if alias.is_symlink():
        with writing(alias):
            alias.unlink()
