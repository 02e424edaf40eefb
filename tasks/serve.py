"""The released file where apps ask for it: registered with an Ollama server, and the served name moved to it."""

from typing import Any

from prefect import get_run_logger, task

import core.serving_by_hand
from core.by_hand import ByHand
from core.checkpoint import Checkpoint
from core.exporting.aliases import alias_name
from core.exporting.registration import deploy as move_name
from core.exporting.registration import is_registered
from core.exporting.registration import register as register_file
from core.exporting.results import Release, Served
from core.exporting.serving import served_name
from core.run import Run
from core.store.registry import champion, finish_run
from tasks.stage import RETRIES, once

VERSION = 1


def register(run: Run, files: Release) -> Release:
    """The release with what became of it at the server; as it is where the settings keep it from there."""
    return register_release(run, files) if run.config.release.ollama.enabled else files


def deploy(run: Run, checkpoint: Checkpoint, files: Release) -> Release:
    """The release with its served name moved to it, where the settings ask for that and it is the model in use."""
    settings = run.config.release.ollama
    return deploy_champion(run, checkpoint, files) if settings.enabled and settings.auto_deploy else files


@task(name="register", **RETRIES)
def register_release(run: Run, files: Release) -> Release:
    """Register a candidate under the file's digest, and check what it answers; without a server it is 'not verified'."""
    settings, name = run.config.release.ollama, _served_name(run)
    stage = run.stage("release-ollama", VERSION, settings.model_dump(), settings.address, name, files.sha256)
    return once(
        run,
        stage,
        Release,
        lambda _folder: files.model_copy(update={"ollama": register_file(files, settings, name)}),
        lambda _run_id, _made: None,
        intact=lambda made: is_registered(made.ollama, settings),
    )


@task(name="deploy", **RETRIES)
def deploy_champion(run: Run, checkpoint: Checkpoint, files: Release) -> Release:
    """Move the served name in one step, only to the slot's champion; what it stood for stays under `previous`."""
    holder, registered = champion(run.use_case.name, run.config.slot), files.ollama
    in_use = holder is not None and holder.checkpoint == checkpoint.sha256
    if not in_use or registered is None or registered.candidate is None:
        return files
    served = move_name(run.config.release.ollama, registered.served_name, registered.candidate)
    get_run_logger().info("%s is %s now", served.name, served.model)
    made = files.model_copy(update={"ollama": registered.model_copy(update={"deployed": True})})
    stage = run.stage("release-deployed", VERSION, made.sha256, run.id)
    run.link(stage)
    stage.finish({"record": made.model_dump(mode="json"), "seconds": 0.0})
    return made


@task(name="deploy", **RETRIES)
def deploy_by_hand(
    word: ByHand, preset: str, overrides: dict[str, Any] | None, candidate: str | None
) -> Served:
    """Move the served name to a registered candidate, by default the champion's."""
    return _told(word, core.serving_by_hand.deploy_by_hand(word, preset, overrides, candidate))


@task(name="rollback", **RETRIES)
def roll_back_by_hand(word: ByHand, preset: str, overrides: dict[str, Any] | None) -> Served:
    """Move the served name back to the model before."""
    return _told(word, core.serving_by_hand.roll_back_by_hand(word, preset, overrides))


def _served_name(run: Run) -> str:
    return served_name(run.config.release.ollama, alias_name(run.use_case.name, run.config.slot))


def _told(word: ByHand, served: Served) -> Served:
    said = "is %s now" if served.moved else "was %s already"
    get_run_logger().info(f"%s at %s {said}", served.name, served.url, served.model)
    finish_run(word.run_id, "completed")
    return served
