"""The model in use, measured again."""

from typing import Any

from prefect import State, flow
from prefect.states import Completed

from core.evaluation import Evaluation
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.evaluate import evaluate as evaluate_stage
from tasks.evaluate import play
from tasks.find import current, untrained
from tasks.open import ENDINGS, open_run
from tasks.report import report
from tasks.reward import contest_rows


@flow(name="evaluate", flow_run_name="evaluate-{preset}", validate_parameters=False, **ENDINGS)
@checked
def evaluate(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
) -> Evaluation | State[None]:
    """Hold the model in use against the untrained model: is what it won still there?

    Args:
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
    """
    run = open_run(use_case, preset, overrides)
    model = current(run)
    if model is None:
        report(run)
        return Completed(message="nothing to measure: no model was promoted yet")
    evaluation = evaluate_stage(run, play(run, model, incumbent=untrained(run), rows=contest_rows(run)))
    report(run, evaluation)
    return evaluation
