"""One flow execution, and the folders of its stages.

A stage folder is addressed by what went into the stage, so that a run triggered again finds the
finished stages, whichever run made them. A run folder holds the resolved config, the report and
links to the stage folders that it used.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import ROOT, load_config, validate
from core.files import data_folder, digest, locked, make_folder, write_json

if TYPE_CHECKING:
    from core.use_case import UseCase, UseCaseConfig

RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage's folder, addressed by everything that decides its result."""

    name: str
    key: str

    @property
    def folder(self) -> Path:
        """Where the stage works and leaves its result."""
        return data_folder() / "stages" / self.name / self.key[:16]

    def result(self) -> dict[str, Any] | None:
        """What the finished stage left, or None when it has not finished."""
        path = self.folder / RESULT
        return json.loads(path.read_text()) if path.is_file() else None

    def finish(self, result: dict[str, Any]) -> None:
        """Mark the stage as finished; from now on it is not done again."""
        write_json(self.folder / RESULT, result)

    @contextmanager
    def locked(self) -> Iterator[Path]:
        """The stage's folder, held by this process alone: a second run waits and then finds the result."""
        with locked(self.folder / ".lock"):
            yield self.folder


@dataclass(frozen=True, slots=True)
class Run:
    """One flow execution: what was asked for, resolved, and its folder."""

    id: str
    use_case: "UseCase"
    preset: str
    config: "UseCaseConfig"
    code_revision: str
    part: str = ""
    """The slot that this part of a run is about; nothing for a run that is about one alone."""

    @property
    def folder(self) -> Path:
        """Resolved config, report, and links to the stages."""
        return data_folder() / "runs" / self.id / self.part

    def of(self, slot: str) -> "Run":
        """The part of this run that is about one slot: with a config and a folder of its own. Raises: as `open_run`."""
        values = self.config.model_dump() | {"slot": slot}
        config = validate(type(self.config), values, f"the part '{slot}' of run {self.id}")
        return _written(replace(self, config=config, part=slot))

    @property
    def config_digest(self) -> str:
        """One hash over every setting, defaults included."""
        return digest(self.config.model_dump())

    def stage(self, name: str, version: int, *inputs: Any) -> Stage:
        """The stage that these inputs address; `inputs` are settings and the digests of what it reads."""
        return Stage(name, digest(name, version, self.use_case.name, *inputs))

    def settings(self, *sections: str) -> dict[str, Any]:
        """Sections of the config, as plain values for a stage's key."""
        values = self.config.model_dump(mode="json")
        return {name: values[name] for name in sections}

    def link(self, stage: Stage) -> None:
        """Point from the run's folder to a stage that it used."""
        link = self.folder / stage.name
        link.unlink(missing_ok=True)
        link.symlink_to(stage.folder)


def open_run(run_id: str, use_case: "UseCase", preset: str, overrides: dict[str, Any] | None = None) -> Run:
    """Resolve and validate the whole config, and write it into the run's folder, before any work starts.

    Raises: ConfigError, StorageError.
    """
    config = load_config(use_case.config, use_case.name, preset, overrides)
    return _written(Run(run_id, use_case, preset, config, code_revision()))


def _written(run: Run) -> Run:
    """The same run, its folder made and its config in it."""
    make_folder(run.folder)
    write_json(run.folder / "config.resolved.json", run.config.model_dump(mode="json"))
    return run


def code_revision() -> str:
    """The commit this code stands at, with '+' when files differ from it; 'unknown' outside a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
