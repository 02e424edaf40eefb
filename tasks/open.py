"""Begin a run: resolve what was asked for, and write it down."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run

import core.run
from core.errors import OvernightError
from core.exporting.space import run_gigabytes
from core.files import need_space
from core.given_rows import given_file
from core.language.config import model_config
from core.run import Run
from core.store.migrate import migrate
from core.store.registry import finish_run, record_run
from core.training.backends import need_backend
from core.training.config import Method
from core.use_cases import use_case_named
from tasks.stage import RETRIES


def note_end(flow: object, flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001  (called by keyword)
    """Write down that a run ended without a report; one that never got as far as the store is left alone.

    Prefect calls this on a cancellation while the run is still 'cancelling'.
    """
    ended = "cancelled" if state.is_cancelling() else state.type.value.lower()
    with suppress(OvernightError):
        finish_run(str(flow_run.id), ended)


ENDINGS: dict[str, Any] = {"on_failure": [note_end], "on_crashed": [note_end], "on_cancellation": [note_end]}
"""What every flow does when it doesn't end well."""


@task(name="open", **RETRIES)
def open_run(
    use_case: str,
    preset: str,
    overrides: dict[str, Any] | None = None,
    *,
    trains: Sequence[Method] = (),
    rows_for: Sequence[Method] = (),
    lines: bool = False,
    given: str | None = None,
) -> Run:
    """Validate every setting and find trainers, disk and database, before any work starts.

    `trains` names the methods that the run may come to train, `rows_for` those whose rows it only makes; with `lines` it
    writes them as an app's own. `given` is a file whose rows it trains on: what the use case has rows for does not matter
    then.
    """
    settings = _scheduled_day() | (overrides or {})
    named = use_case_named(use_case)
    if given is not None:
        given_file(given)
    for method in (*trains, *rows_for) if given is None else ():
        named.need_method(method)
    if lines:
        named.need_lines()
    run = core.run.open_run(str(flow_run.get_id()), named, preset, settings)
    for method in trains:
        need_backend(
            getattr(run.config, method), run.config.adapter, choices=run.use_case.choices and given is None
        )
    model = model_config(run.config.model)
    need_space(run.folder, run_gigabytes(model, run.config.adapter.r, run.config.release))
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


def scheduled_moment() -> datetime | None:
    """When a run of a schedule was due, in UTC, however late it starts; None for a run by hand."""
    with get_client(sync_client=True) as client:
        this = client.read_flow_run(UUID(str(flow_run.get_id())))
    due = this.expected_start_time
    return datetime.fromtimestamp(due.timestamp(), UTC) if this.auto_scheduled and due is not None else None


def _scheduled_day() -> dict[str, Any]:
    """The setting that a run of a schedule adds: the day it was due."""
    due = scheduled_moment()
    return {} if due is None else {"as_of": due.date()}
