"""The contest alone."""

from typing import Any

from prefect import flow

from core.evaluation import Evaluation
from core.use_cases import Preset, UseCaseName
from tasks.evaluate import evaluate, play
from tasks.find import find_or_champion
from tasks.open import ENDINGS, open_run
from tasks.report import report


@flow(name="tournament", flow_run_name="tournament-{preset}", **ENDINGS)
def tournament(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    checkpoint: str | None = None,
) -> Evaluation:
    """Play a checkpoint (its digest or folder; else the model in use) against the incumbent and the baselines."""
    run = open_run(use_case, preset, overrides)
    evaluation = evaluate(run, play(run, find_or_champion(run, checkpoint)))
    report(run, evaluation)
    return evaluation
