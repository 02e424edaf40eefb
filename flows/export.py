"""A dataset, written out."""

from pathlib import Path
from typing import Any

from prefect import flow

from core.dataset import Snapshot
from core.held_out import SPLITS
from core.training.config import Method
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.collect import collect
from tasks.export import Shape, app_lines, export_rows
from tasks.open import ENDINGS, open_run
from tasks.report import report
from tasks.reward import reward
from tasks.snapshot import snapshot
from tasks.stage import record_of


@flow(name="export", flow_run_name="export-{method}-{preset}", validate_parameters=False, **ENDINGS)
@checked
def export(  # noqa: PLR0917  (a form's fields)
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    method: Method = "sft",
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    folder: str | None = None,
    shape: Shape = "groups",
) -> Snapshot:
    """Write the rows a method would train on, or all there are, as JSONL with their manifest.

    Args:
        method: The training method the rows are for.
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
        folder: Where to write; without one, in the data folder.
        shape: Rows as they are trained on; lines as the app's own exports have them, in a folder for each split; or all rows as they were collected, before any is left out for its length or its likeness to others.
    """
    run = open_run(use_case, preset, overrides, rows_for=(method,), lines=shape == "lines")
    if shape == "collected":
        rows = collect(run)
        export_rows(rows, folder)
        report(run)
        return record_of(rows)
    groups = snapshot(run, method, reward(run, collect(run)))
    if shape == "groups":
        export_rows(groups, folder)
    else:
        for split in SPLITS:
            export_rows(app_lines(run, groups, split), str(Path(folder) / split) if folder else None)
    report(run)
    return record_of(groups)
