"""The contest alone."""

from typing import Any

from prefect import flow

from core.evaluation import Evaluation
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.evaluate import evaluate, play
from tasks.find import find_or_champion
from tasks.open import ENDINGS, open_run
from tasks.report import report
from tasks.reward import contest_rows


@flow(name="tournament", flow_run_name="tournament-{preset}", validate_parameters=False, **ENDINGS)
@checked
def tournament(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    checkpoint: str | None = None,
) -> Evaluation:
    """Play a checkpoint against the incumbent and the baselines.

    Args:
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
        checkpoint: Its digest (from a report, or the first letters of it) or its folder; without one, the model in use.
    """
    run = open_run(use_case, preset, overrides)
    evaluation = evaluate(run, play(run, find_or_champion(run, checkpoint), rows=contest_rows(run)))
    report(run, evaluation)
    return evaluation
