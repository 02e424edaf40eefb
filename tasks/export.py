"""Rows, copied to where a person wants them."""

from pathlib import Path

from prefect import task

from core.dataset import Snapshot, export_jsonl
from core.files import data_folder
from core.run import Run
from tasks.stage import RETRIES


@task(name="export", **RETRIES)
def export_rows(run: Run, groups: Snapshot, folder: str | None = None) -> str:
    """Copy a snapshot's JSONL and manifest; without a folder, into the data folder's exports by its digest."""
    target = Path(folder).expanduser() if folder else data_folder() / "exports" / groups.sha256[:16]
    return str(export_jsonl(groups, target))
