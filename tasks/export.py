"""Rows, copied to where a person wants them."""

from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from core.dataset import Snapshot, export_jsonl
from core.files import data_folder
from core.reports.markdown import heading, table
from tasks.stage import RETRIES


@task(name="export", **RETRIES)
def export_rows(groups: Snapshot, folder: str | None = None) -> str:
    """Copy a snapshot's JSONL and manifest; without a folder, into the data folder's exports by its digest."""
    target = Path(folder).expanduser() if folder else data_folder() / "exports" / groups.sha256[:16]
    path = str(export_jsonl(groups, target))
    counts = table(("rows", "count"), [*groups.counts.items(), *groups.skipped.items()])
    text = f"{heading('Export', 1)}\n\n`{path}`, sha256 `{groups.sha256}`\n\n{counts}\n"
    create_markdown_artifact(text, key="overnight-export", description=path)
    return path
