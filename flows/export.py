"""A dataset, written out."""

from typing import Any

from prefect import flow

from core.dataset import Snapshot
from core.training.config import Method
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.collect import collect
from tasks.export import export_rows
from tasks.open import ENDINGS, open_run
from tasks.report import report
from tasks.reward import reward
from tasks.snapshot import snapshot
from tasks.stage import record_of


@flow(name="export", flow_run_name="export-{method}-{preset}", validate_parameters=False, **ENDINGS)
@checked
def export(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    method: Method = "sft",
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    folder: str | None = None,
) -> Snapshot:
    """Write the rows a method would train on as JSONL with their manifest.

    Args:
        method: The training method the rows are for.
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
        folder: Where to write; without one, in the data folder.
    """
    run = open_run(use_case, preset, overrides, rows_for=(method,))
    groups = snapshot(run, method, reward(run, collect(run)))
    export_rows(groups, folder)
    report(run)
    return record_of(groups)
