"""Documents that nobody here wrote: the descriptions of Debian's packages, to be filed under their sections.

The text and its right place are Debian's; who filed it, how well, and what the user said to it are simulated. Each package
is one decision of the FILER: it never changes, and a night adds the next ones.
"""

import gzip
import lzma
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import IO, Any, NamedTuple

from core.decision import AgentType, Feedback
from core.errors import ConfigError, SourceError
from core.files import digest
from core.use_cases.decision_agents.config import PackageSettings
from core.use_cases.decision_agents.desk import NO_DAY

FOLDER = re.compile(r"[a-z0-9+-]+")
MODEL = "filing-clerk-1"


class Package(NamedTuple):
    """One entry of the index."""

    name: str
    section: str
    description: str


def package_rows(settings: PackageSettings, day: date) -> Iterator[dict[str, Any]]:
    """The decisions of the days up to `day`: packages in an order that the seed shuffles, so many a day until none are left.

    Raises: SourceError, ConfigError when a section has no packages.
    """
    packages = sorted(
        package for package in read_packages(settings.file) if package.section in settings.sections
    )
    if missing := set(settings.sections) - {package.section for package in packages}:
        raise ConfigError(
            f"{settings.file} has no packages of section {', '.join(sorted(missing))}: name sections that it has"
        )
    Random(settings.seed).shuffle(packages)  # noqa: S311  (a simulation)
    for back in reversed(range(settings.days)):
        today = day - timedelta(days=back)
        start = (today - NO_DAY).days * settings.decisions
        for place in range(start, start + settings.decisions):
            if 0 <= place < len(packages):
                yield _row(settings, packages[place], today, place - start)


def read_packages(file: Path) -> Iterator[Package]:
    """The entries of an index, once a name; those without a section or description are no documents.

    Raises: SourceError when the file can't be read or is no index.
    """
    seen: set[str] = set()
    try:
        with _opened(file) as lines:
            for entry in _entries(lines):
                package = _package(entry)
                if package is not None and package.name not in seen:
                    seen.add(package.name)
                    yield package
    except (OSError, UnicodeDecodeError, lzma.LZMAError, EOFError) as error:
        raise SourceError(
            f"{file} can't be read as a package index ({error}): `apt-cache dumpavail > {file.name}` writes one"
        ) from error
    if not seen:
        raise SourceError(f"{file} holds no package: `apt-cache dumpavail > {file.name}` writes an index")


def _opened(file: Path) -> IO[str]:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8")
    if file.suffix == ".xz":
        return lzma.open(file, "rt", encoding="utf-8")
    return file.open(encoding="utf-8")


def _entries(lines: IO[str]) -> Iterator[dict[str, str]]:
    """Blocks of 'Field: value' lines between empty ones; a line that begins with a space goes on with the field before."""
    entry: dict[str, str] = {}
    name = ""
    for line in lines:
        if not line.strip():
            if entry:
                yield entry
            entry, name = {}, ""
        elif line[0] in " \t":
            if name:
                entry[name] += "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            entry[name] = value.strip()
    if entry:
        yield entry


def _package(entry: Mapping[str, str]) -> Package | None:
    """Sections of other areas come as 'contrib/games': the last part is the section."""
    section = entry.get("Section", "").rpartition("/")[2]
    description = " ".join(entry.get("Description", "").split())
    if not (entry.get("Package") and description and FOLDER.fullmatch(section)):
        return None
    return Package(entry["Package"], section, description)


def _row(settings: PackageSettings, package: Package, day: date, place: int) -> dict[str, Any]:
    """What the clerk did with a package, and what its user said: the section's name where the clerk was wrong."""
    rng = Random(digest("package", settings.seed, package.name))  # noqa: S311
    others = [section for section in settings.sections if section != package.section]
    right = rng.random() < settings.right
    folders = list(settings.sections)
    rng.shuffle(folders)
    created = _starts(day) + timedelta(seconds=86_000 * place / settings.decisions)
    row: dict[str, Any] = {
        "external_id": package.name,
        "agent_type": AgentType.FILER,
        "state": {
            "item": {"title": package.description},
            "availableOpuses": [{"name": folder} for folder in folders],
        },
        "action": {"opus": package.section if right else rng.choice(others)},
        "user_id": f"reader-{rng.randrange(settings.users)}",
        "session_id": package.name,
        "step": 0,
        "model_version": MODEL,
        "created_at": created,
    }
    if rng.random() < settings.silent:
        return row
    said = Feedback.CONFIRMED if right else Feedback.CORRECTED
    return row | {
        "feedback": said,
        "correction": None if right else {"opus": package.section},
        "feedback_at": created + timedelta(minutes=5),
    }


def _starts(day: date) -> datetime:
    return datetime.combine(day, time(0, tzinfo=UTC))
