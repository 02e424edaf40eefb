"""The model as it would be served: exported, loaded again, and held against the original."""

from prefect import task

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.evaluation import Evaluation
from core.exporting.config import CardFacts, ReleaseFormat, ReleaseRequest, ReplayPrompt
from core.exporting.publish import is_intact
from core.exporting.results import Release
from core.exporting.tools import not_installed
from core.language.config import model_config
from core.run import Run
from core.store.registry import lineage, record_release
from tasks.stage import RETRIES, once

VERSION = 4
AT_THE_SERVER = ("enabled", "url", "served_name", "auto_deploy", "timeout_s")
"""Settings of `ollama` that change nothing in what is exported."""


@task(name="release", **RETRIES)
def release(
    run: Run,
    checkpoint: Checkpoint,
    rewards: Snapshot,
    evaluation: Evaluation | None = None,
    formats: tuple[ReleaseFormat, ...] | None = None,
) -> Release:
    """Export and publish under the digest; fails, with both figures, when a file is not the model it should be."""
    from core.exporting.release import release as export  # noqa: PLC0415  (torch)
    from core.language.model import base_checkpoint  # noqa: PLC0415

    settings = (
        run.config.release if formats is None else run.config.release.model_copy(update={"formats": formats})
    )
    prompts = run.use_case.replay(run.config, rewards)
    adapter = checkpoint.path if checkpoint.kind == "adapter" else None
    request = ReleaseRequest(
        name=f"{run.use_case.name.replace('_', '-')}-{checkpoint.sha256[:8]}",
        base=base_checkpoint(checkpoint.base_model).path if adapter else checkpoint.path,
        adapter=adapter,
        prompts=tuple(ReplayPrompt.model_validate(prompt) for prompt in prompts[: settings.prompts]),
        facts=_facts(run, checkpoint, rewards, evaluation),
        settings=settings,
        switch_alias=False,
    )
    # What is not installed is part of the key: an export that could not be checked is made again once it is.
    missing = not_installed(settings, adapter=adapter is not None)
    asked = request.model_dump(mode="json", exclude={"settings": {"ollama": set(AT_THE_SERVER)}})
    stage = run.stage("release", VERSION, asked, checkpoint.sha256, missing)
    return once(
        run,
        stage,
        Release,
        lambda _folder: export(request),
        lambda run_id, made: record_release(run_id, made, checkpoint.sha256),
        intact=is_intact,
    )


def _facts(run: Run, checkpoint: Checkpoint, rewards: Snapshot, evaluation: Evaluation | None) -> CardFacts:
    model = model_config(checkpoint.base_model)
    methods = [
        parent.method.upper() for parent in lineage(checkpoint.sha256) if isinstance(parent, Checkpoint)
    ]
    training = {name: f"{value:.4g}" for name, value in checkpoint.metrics.items()}
    if model.kind == "embedded":
        training["base weights"] = (
            f"dequantised from the 4-bit file in the package {model.source.split(':')[1]}"
        )
    figures = {"not evaluated": "this file was exported without a contest"}
    if evaluation is not None:
        figures = {"verdict": str(evaluation.verdict), "reason": evaluation.reason}
    return CardFacts(
        base_model=model.public_name,
        license=model.license,
        summary=run.use_case.title,
        method=", then ".join(reversed(methods)) or checkpoint.method,
        data={"rewards": rewards.sha256},
        training=training,
        evaluation=figures,
        tags=("overnight", run.use_case.name),
    )
