"""One training method on one use case."""

from typing import Any

from prefect import flow

from core.checkpoint import Checkpoint
from core.training.config import Method
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.collect import collect
from tasks.find import find
from tasks.open import ENDINGS, open_run
from tasks.report import report
from tasks.reward import reward
from tasks.snapshot import snapshot
from tasks.stage import record_of
from tasks.train import train as train_stage


@flow(name="train", flow_run_name="train-{algorithm}-{preset}", validate_parameters=False, **ENDINGS)
@checked
def train(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    algorithm: Method = "sft",
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    start: str | None = None,
) -> Checkpoint:
    """Train one method, and do before it what it needs.

    Args:
        algorithm: The training method.
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
        start: The checkpoint to go on from: its digest (from a report) or its folder. Without one every method but SFT imitates first.
    """
    imitates_first = algorithm != "sft" and start is None
    run = open_run(use_case, preset, overrides, trains=("sft", algorithm) if imitates_first else (algorithm,))
    begin = find(run, start) if start else None
    rewards = reward(run, collect(run))
    if imitates_first:
        begin = train_stage(run, "sft", snapshot(run, "sft", rewards))
    checkpoint = train_stage(run, algorithm, snapshot(run, algorithm, rewards), start=begin)
    report(run)
    return record_of(checkpoint)
