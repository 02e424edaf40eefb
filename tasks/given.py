"""Rows that a person brings as a file."""

from prefect import task

from core.dataset import Snapshot
from core.files import file_digest
from core.given_rows import given_file, given_rows
from core.run import Run
from core.store.registry import record_snapshot
from tasks.stage import RETRIES, once

VERSION = 1


@task(name="given", **RETRIES)
def given(run: Run, rows: str) -> Snapshot:
    """Read a JSONL file once and for all: a snapshot of its usable lines."""
    path = given_file(rows)
    sha256 = file_digest(path)
    stage = run.stage("given", VERSION, sha256)
    return once(
        run, stage, Snapshot, lambda folder: given_rows(path, sha256, folder / "rows"), record_snapshot
    )
