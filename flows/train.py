"""One training method on one use case."""

from typing import Any

from prefect import State, flow
from prefect.states import Completed

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.run import Run
from core.training.config import Method
from core.use_cases import Preset, UseCaseName, use_case_named
from flows.parameters import checked
from tasks.collect import collect
from tasks.find import find
from tasks.given import given
from tasks.open import ENDINGS, open_run
from tasks.report import report
from tasks.reward import reward
from tasks.snapshot import snapshot
from tasks.stage import record_of
from tasks.train import train as train_stage


@flow(name="train", flow_run_name="train-{algorithm}-{preset}", validate_parameters=False, **ENDINGS)
@checked
def train(  # noqa: PLR0917  (a form's fields)
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    algorithm: Method = "sft",
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    start: str | None = None,
    rows: str | None = None,
) -> Checkpoint | State[None]:
    """Train one method, and do before it what it needs; or train it on the rows of a file.

    Args:
        algorithm: The training method.
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
        start: The checkpoint to go on from: its digest (from a report) or its folder. Without one every method but SFT imitates first.
        rows: A JSONL file on the worker's machine to train on instead of the use case's own rows, straight from `start` or the untrained model. A line is {id, prompt, completions, rewards or weights} or {prompt, completion, reward, metadata}.
    """
    imitates = "sft" in use_case_named(use_case).methods
    imitates_first = imitates and algorithm != "sft" and start is None and rows is None
    trains: tuple[Method, ...] = ("sft", algorithm) if imitates_first else (algorithm,)
    run = open_run(use_case, preset, overrides, trains=trains, given=rows)
    begin = find(run, start) if start else None
    if rows is not None:
        groups = given(run, rows)
    else:
        rewards = reward(run, collect(run))
        if imitates_first:
            begin = train_stage(run, "sft", snapshot(run, "sft", rewards))
        groups = snapshot(run, algorithm, rewards)
        if lacking := _too_few(run, algorithm, record_of(groups)):
            report(run, ending=f"not enough data: {lacking}")
            return Completed(message=f"not enough data: {lacking}")
    checkpoint = train_stage(run, algorithm, groups, start=begin)
    report(run)
    return record_of(checkpoint)


def _too_few(run: Run, method: Method, groups: Snapshot) -> str | None:
    return run.use_case.too_few and run.use_case.too_few(run.config, method, groups)
