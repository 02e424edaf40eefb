"""Rows, copied to where a person wants them."""

from pathlib import Path
from typing import Literal

from prefect import task
from prefect.artifacts import create_markdown_artifact

from core.dataset import Snapshot, export_jsonl, read_rows, write_snapshot
from core.files import data_folder
from core.reports.markdown import heading, table
from core.run import Run
from core.store.registry import record_snapshot
from tasks.stage import RETRIES, once

VERSION = 1
Shape = Literal["groups", "lines", "collected"]


@task(name="export", **RETRIES)
def export_rows(groups: Snapshot, folder: str | None = None) -> str:
    """Copy a snapshot's JSONL and manifest; without a folder, into the data folder's exports by its digest."""
    target = Path(folder).expanduser() if folder else data_folder() / "exports" / groups.sha256[:16]
    path = str(export_jsonl(groups, target))
    counts = table(("rows", "count"), [*groups.counts.items(), *groups.skipped.items()])
    text = f"{heading('Export', 1)}\n\n`{path}`, sha256 `{groups.sha256}`\n\n{counts}\n"
    create_markdown_artifact(text, key="overnight-export", description=path)
    return path


@task(name="lines", task_run_name="lines-{split}", **RETRIES)
def app_lines(run: Run, groups: Snapshot, split: str) -> Snapshot:
    """One split's groups in the shape of the apps' own exports."""
    stage = run.stage(f"lines-{split}", VERSION, groups.sha256)
    line = run.use_case.line

    def work(folder: Path) -> Snapshot:
        rows = (line(row) for row in read_rows(groups) if line and row["split"] == split)
        return write_snapshot(
            folder / "rows", f"lines-{split}", rows, skipped=groups.skipped, parents=(groups.sha256,)
        )

    return once(run, stage, Snapshot, work, record_snapshot)
