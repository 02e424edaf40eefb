"""Which columns rows of one kind have, and what an app's table calls them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import ConfigError
from core.store.foreign.settings import SourceSettings
from core.value import normalised


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kind of row must have and may have, by our names; the first column needed is its id."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    also_called: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What apps call a column besides our own name for it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in the order in which they are read."""
        return self.needed + self.optional


def match(shape: Shape, source: SourceSettings, have: Sequence[str]) -> dict[str, str]:
    """Our columns to those of the table; an optional one that isn't there is left out.

    Raises: ConfigError that names every column that is needed and missing.
    """
    if unknown := [name for name in source.columns if name not in shape.columns]:
        raise ConfigError(
            f"{source.section}.columns names {_listed(unknown)}: choose among {', '.join(shape.columns)} (ours on the left, the "
            "app's on the right)"
        )
    found = {name: _place(name, shape, source, have) for name in shape.columns}
    asked = [there for there in (*source.columns.values(), source.watermark) if there and there not in have]
    missing = [name for name in shape.needed if found[name] is None and name not in source.columns]
    if asked or missing:
        raise ConfigError(
            f"the table {source.table} lacks {_listed([*missing, *asked])}; it has {', '.join(have)}: name what they "
            f"are called there in {source.section}.columns and {source.section}.watermark"
        )
    return {name: there for name, there in found.items() if there is not None}


def no_table(source: SourceSettings, where: str, known: Sequence[str]) -> ConfigError:
    """The one clear line for a table that isn't there."""
    near = difflib.get_close_matches(source.table, known, n=1, cutoff=0.4)
    meant = f"did you mean {near[0]}" if near else f"there are {', '.join(known[:12]) or 'none'}"
    return ConfigError(f"{where} has no table {source.table}: {meant}? Correct {source.section}.table")


def _place(name: str, shape: Shape, source: SourceSettings, have: Sequence[str]) -> str | None:
    """The table's own column, by its given name, or by ours, or by what apps call it. Raises: ConfigError."""
    if name in source.columns:
        return source.columns[name] if source.columns[name] in have else None
    for called in (name, *shape.also_called.get(name, ())):
        same = [there for there in have if normalised(there) == normalised(called)]
        if len(same) > 1:
            raise ConfigError(
                f"the table {source.table} has {_listed(same)}, and each could be {name}: say which in "
                f"{source.section}.columns"
            )
        if same:
            return same[0]
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in dict.fromkeys(names))
