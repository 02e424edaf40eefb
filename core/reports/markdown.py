"""The words of a report: headings, tables, pictures and figures that a person reads at a glance."""

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from core.files import write_text

NOTHING = "–"
LARGEST_REPORT = 200_000
"""Bytes. The UI's list of artifacts loads every body."""
QUOTED = 160
"""Letters of a text that is quoted."""
_UNITS = ("B", "kB", "MB", "GB", "TB")


def heading(text: str, level: int = 2) -> str:
    """A heading of level 1 to 6."""
    return f"{'#' * level} {text}"


def bold(text: str) -> str:
    """Bold words."""
    return f"**{text}**"


def picture(png: bytes, alt: str) -> str:
    """A picture that needs no host: it lies in the text itself."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; columns of figures are set right. Values are written by `cell`; no rows give one line of words."""
    lines = [tuple(row) for row in rows]
    if not lines:
        return "*nothing to show*"
    columns = zip(*lines, strict=True)
    rules = ["--:" if _are_figures(column) else ":--" for column in columns]
    cells = ([cell(value) for value in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rules, *cells))


def cell(value: Any) -> str:
    """One value as a table shows it: missing, NaN and infinite values are '–', floats have four digits."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else NOTHING
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def _are_figures(column: Sequence[Any]) -> bool:
    present = [value for value in column if value is not None and value != NOTHING]
    return bool(present) and all(map(_is_figure, present))


def _is_figure(value: Any) -> bool:
    if isinstance(value, str):
        return value[:1].isdigit() or (value[:1] in "+-" and value[1:2].isdigit())
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def bullets(lines: Iterable[str]) -> str:
    """A list of points."""
    return "\n".join(f"- {line}" for line in lines)


def quoted(text: str) -> str:
    """What a model was asked or wrote, as it fits a table's cell."""
    words = " ".join(text.split()).replace("|", "\\|")
    return f"`{words[:QUOTED]}`" if words else "nothing"


def criterion(name: str, met: bool | None, figure: str) -> str:
    """One promise and what came of it: '**met**: SFT loss < 0.5 (0.43)'; None is 'not measured'."""
    word = {True: "met", False: "not met", None: "not measured"}[met]
    return f"{bold(word)}: {name} ({figure})"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent: 0.124 is '12.4 %'."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def byte_size(count: float | None) -> str:
    """A size in decimal units: '271 MB'."""
    if count is None or not math.isfinite(count):
        return NOTHING
    power = min(len(_UNITS) - 1, int(math.log10(max(count, 1)) // 3))
    return f"{count / 1000**power:.3g} {_UNITS[power]}"


def duration(seconds: float | None) -> str:
    """A time: '1.5 ms', '0.42 s', '35 s', '2 min 05 s', '3 h 07 min'."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if 0 < seconds < 1e-4:
        return f"{1e6 * seconds:.2g} µs"
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@dataclass(slots=True)
class Report:
    """Markdown, part by part, in the order in which it is added."""

    title: str
    parts: list[str] = field(default_factory=list)

    def add(self, *parts: str) -> Self:
        """Add parts at the end; empty ones are left out."""
        self.parts.extend(part for part in parts if part)
        return self

    def text(self) -> str:
        """The whole report; beyond `LARGEST_REPORT` the last pictures are left out, and it says so."""
        parts = [heading(self.title, 1), *self.parts]
        pictures = [place for place, part in enumerate(parts) if part.startswith("![")]
        while _size(parts) > LARGEST_REPORT and pictures:
            place = pictures.pop()
            parts[place] = (
                f"*Picture left out, the report would be too large: {parts[place][2:].split(']')[0]}*"
            )
        return "\n\n".join(parts) + "\n"

    def write(self, path: Path) -> Path:
        """Write the report as a file by an atomic rename. Raises: StorageError."""
        write_text(path, self.text())
        return path


def _size(parts: Sequence[str]) -> int:
    return sum(len(part.encode()) + 2 for part in parts)
