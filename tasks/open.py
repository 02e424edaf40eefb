"""Begin a run: resolve what was asked for, and write it down."""

from typing import Any

from prefect import task
from prefect.runtime import flow_run

import core.run
from core.files import need_space
from core.run import Run
from core.store.migrate import migrate
from core.store.registry import record_run
from core.use_cases import use_case_named
from tasks.stage import RETRIES

NEEDED_GIGABYTES = 2.0


@task(name="open", **RETRIES)
def open_run(use_case: str, preset: str, overrides: dict[str, Any] | None = None) -> Run:
    """Validate every setting and find the disk and the database, before any work starts."""
    run = core.run.open_run(str(flow_run.get_id()), use_case_named(use_case), preset, overrides)
    need_space(run.folder, NEEDED_GIGABYTES)
    migrate()
    record_run(
        run_id=run.id,
        use_case=run.use_case.name,
        preset=preset,
        config_digest=run.config_digest,
        code_revision=run.code_revision,
        config=run.config.model_dump(mode="json"),
    )
    return run
