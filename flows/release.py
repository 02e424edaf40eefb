"""One model, exported and checked."""

from typing import Any, Literal

from prefect import flow

from core.exporting.results import Release
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.collect import collect
from tasks.find import find_or_champion
from tasks.open import ENDINGS, open_run
from tasks.release import release as release_stage
from tasks.report import report
from tasks.reward import reward
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
    files = release_stage(run, model, reward(run, collect(run)), formats=(format,))
    report(run)
    return record_of(files)
