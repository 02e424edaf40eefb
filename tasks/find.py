"""Checkpoints by name."""

from pathlib import Path

from prefect import task

from core.checkpoint import Checkpoint
from core.config import models
from core.errors import ModelError
from core.run import Run
from core.store.registry import champion, find_checkpoint
from tasks.stage import RETRIES


@task(name="find", **RETRIES)
def find(_run: Run, name: str) -> Checkpoint:
    """The checkpoint of that digest (or its first letters), or in that folder."""
    return find_checkpoint(name)


@task(name="find", **RETRIES)
def find_model(_run: Run, name: str) -> Checkpoint:
    """Any model: a checkpoint's digest or folder, a whole model's or an adapter's folder, a name of configs/models, a hub id."""
    from core.language.model import base_checkpoint  # noqa: PLC0415  (torch)

    if name in models() or (name.count("/") == 1 and not Path(name).expanduser().is_dir()):
        return base_checkpoint(name)
    return find_checkpoint(name)


@task(name="find", **RETRIES)
def find_or_champion(run: Run, name: str | None = None) -> Checkpoint:
    """The named checkpoint; without a name the model in use."""
    if name:
        return find_checkpoint(name)
    holder = champion(run.use_case.name, run.config.slot)
    if holder is None:
        raise ModelError(
            f"{run.use_case.name} has no champion in slot '{run.config.slot}' yet: give `checkpoint` (a digest from "
            "a report, or a folder), or let the whole chain promote one"
        )
    return find_checkpoint(holder.checkpoint)


@task(name="find", **RETRIES)
def current(run: Run) -> Checkpoint | None:
    """The model in use, or None when none was promoted yet."""
    holder = champion(run.use_case.name, run.config.slot)
    return None if holder is None else find_checkpoint(holder.checkpoint)


@task(name="find", **RETRIES)
def untrained(run: Run) -> Checkpoint:
    """The model as it came."""
    from core.language.model import base_checkpoint  # noqa: PLC0415  (torch)

    return base_checkpoint(run.config.model)
