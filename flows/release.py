"""One model, exported and checked; and the name that it is served under, moved by hand."""

from typing import Any, Literal

from prefect import flow

from core.exporting.results import Release, Served
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.by_hand import open_by_hand
from tasks.collect import collect
from tasks.find import find_or_champion
from tasks.open import ENDINGS, open_run
from tasks.release import release as release_stage
from tasks.report import report
from tasks.reward import reward
from tasks.serve import deploy as deploy_stage
from tasks.serve import deploy_by_hand, register, roll_back_by_hand
from tasks.stage import record_of


@flow(name="release", flow_run_name="release-{format}-{preset}", validate_parameters=False, **ENDINGS)
@checked
def release(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    format: Literal["lora", "merged", "gguf", "onnx"] = "gguf",  # noqa: A002  (the word on the form)
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    checkpoint: str | None = None,
) -> Release:
    """Export a checkpoint, load the file, and replay held-out prompts.

    Args:
        format: What is written: the LoRA adapter, one merged model, GGUF files for llama.cpp, or ONNX for onnxruntime.
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
        checkpoint: Its digest (from a report, or the first letters of it) or its folder; without one, the model in use.
    """
    run = open_run(use_case, preset, overrides)
    model = find_or_champion(run, checkpoint)
    files = register(run, release_stage(run, model, reward(run, collect(run)), formats=(format,)))
    files = deploy_stage(run, model, files)
    report(run)
    return record_of(files)


@flow(name="release", flow_run_name="deploy-{use_case}-{slot}", validate_parameters=False, **ENDINGS)
@checked
def deploy(  # noqa: PLR0917  (a form's fields)
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    slot: str = "default",
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    candidate: str | None = None,
    reason: str = "asked for",
    by: str | None = None,
) -> Served:
    """Let the name that apps ask Ollama for stand for a registered file, in one step; the model before stays for a rollback.

    Args:
        slot: Whose served name: 'default', or an agent type.
        overrides: Settings that differ from the preset, by dotted key: {"release.ollama.url": "http://host:11434"}.
        candidate: Its name from a report (`name:digest`), or the digest alone; without one, the file of the model in use.
        reason: Why, for the record.
        by: Who decides, for the record; without a name the account that the worker runs as.
    """
    word = open_by_hand(use_case, slot, by, reason, candidate=candidate, preset=preset, overrides=overrides)
    return deploy_by_hand(word, preset, overrides, candidate)


@flow(name="release", flow_run_name="rollback-{use_case}-{slot}", validate_parameters=False, **ENDINGS)
@checked
def rollback(  # noqa: PLR0917  (a form's fields)
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    slot: str = "default",
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    reason: str = "asked for",
    by: str | None = None,
) -> Served:
    """Let the name that apps ask Ollama for stand for the model before again, in one step.

    Args:
        slot: Whose served name: 'default', or an agent type.
        overrides: Settings that differ from the preset, by dotted key: {"release.ollama.url": "http://host:11434"}.
        reason: Why, for the record.
        by: Who decides, for the record; without a name the account that the worker runs as.
    """
    word = open_by_hand(use_case, slot, by, reason, preset=preset, overrides=overrides)
    return roll_back_by_hand(word, preset, overrides)
