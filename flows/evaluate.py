"""The model in use, measured again; any model, on the lines of a file; or two models at once, by what people say."""

from typing import Any

from prefect import State, flow
from prefect.states import Completed

from core.evaluation import Evaluation
from core.experiment.results import ExperimentAnalysis
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.evaluate import evaluate as evaluate_stage
from tasks.evaluate import play
from tasks.exam import exam, results, start_of
from tasks.experiment import analyse_experiment, open_experiment, report_experiment
from tasks.find import current, find_model, untrained
from tasks.given import given
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


@flow(name="evaluate", flow_run_name="evaluate-{model}", validate_parameters=False, **ENDINGS)
@checked
def evaluate_model(  # noqa: PLR0917  (a form's fields)
    model: str,
    rows: str | None = None,
    use_case: UseCaseName = UseCaseName("decision_agents"),
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    slot: str | None = None,
    output: str | None = None,
) -> Evaluation:
    """Test any model on the lines of a file or on what is held out, beside the model that it was trained from.

    Args:
        model: A checkpoint's digest or folder, a folder with a whole model or an adapter, a name of configs/models, or a hub id.
        rows: A JSONL file on the worker's machine. A line is {id, prompt, completions, rewards or weights, metadata} or {prompt, completion, reward, metadata}; right is metadata.truth, or a completion whose metadata.userFeedback is CONFIRMED; of ratings, the best of a line's completions against the worst. Without one, the held-out items of the use case's own contest.
        overrides: Settings that differ from the preset, by dotted key: {"contest.items": 500}.
        slot: The agent type, as filer or prioritizer: how long its answers may be.
        output: Where to write the results as JSON, besides the run's own folder.
    """
    run = open_run(use_case, preset, (overrides or {}) | ({"slot": slot} if slot else {}), given=rows)
    questions = exam(run, given(run, rows)) if rows else contest_rows(run)
    candidate = find_model(run, model)
    played = play(run, candidate, incumbent=start_of(run, candidate), rows=questions)
    evaluation = evaluate_stage(run, played)
    results(run, played, evaluation, output)
    report(run, evaluation)
    return evaluation


@flow(name="evaluate", flow_run_name="evaluate-{experiment}", validate_parameters=False, **ENDINGS)
@checked
def evaluate_experiment(experiment: str, source: str, file: str | None = None) -> ExperimentAnalysis:
    """Which of the models that users get at once they like better, by the thumbs so far; it may be asked every night.

    Args:
        experiment: Its name in the file of experiments.
        source: The app whose ratings count.
        file: The YAML file of experiments on the worker's machine; without one, configs/experiments.yaml.
    """
    run = open_experiment(experiment, source, file)
    analysis = analyse_experiment(run)
    report_experiment(run, analysis)
    return analysis
