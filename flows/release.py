"""One model, exported and checked."""

from typing import Any, Literal

from prefect import flow

from core.exporting.results import Release
from core.use_cases import Preset, UseCaseName
from tasks.collect import collect
from tasks.find import find_or_champion
from tasks.open import ENDINGS, open_run
from tasks.release import release as release_stage
from tasks.report import report
from tasks.reward import reward
from tasks.stage import record_of


@flow(name="release", flow_run_name="release-{format}-{preset}", **ENDINGS)
def release(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    format: Literal["lora", "merged", "gguf"] = "gguf",  # noqa: A002  (the word on the form)
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    checkpoint: str | None = None,
) -> Release:
    """Export a checkpoint (its digest or folder; else the model in use), load the file, and replay held-out prompts."""
    run = open_run(use_case, preset, overrides)
    model = find_or_champion(run, checkpoint)
    files = release_stage(run, model, reward(run, collect(run)), formats=(format,))
    report(run)
    return record_of(files)
