"""Runs that can't go on as they stand: those that `make stop` cut short, those whose hour has passed."""

import sys
from datetime import UTC, datetime

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType

from deployments.pool import POOL

GOING = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


def close_interrupted(client: SyncPrefectClient) -> int:
    """Say of runs that the stopped worker left behind that they have ended; how many there were."""
    runs = _runs(client, GOING)
    for run in runs:
        cancelled = run.state_type == StateType.CANCELLING
        kind = StateType.CANCELLED if cancelled else StateType.CRASHED
        words = "the worker was stopped: trigger it again, finished stages are kept"
        client.set_flow_run_state(run.id, State(type=kind, message=words), force=True)
    return len(runs)


def skip_missed(client: SyncPrefectClient) -> int:
    """Drop the scheduled runs whose hour passed while Overnight was down; how many there were.

    Otherwise three weeks of weekly runs would start at once, before anything that a person asks for.
    """
    now = datetime.now(UTC)
    runs = [run for run in _runs(client, [StateType.SCHEDULED], before=now) if run.auto_scheduled]
    for run in runs:
        words = "its hour passed while Overnight was down"
        client.set_flow_run_state(
            run.id, State(type=StateType.CANCELLED, name="Missed", message=words), force=True
        )
    return len(runs)


def _runs(
    client: SyncPrefectClient, states: list[StateType], before: datetime | None = None
) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
            expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": before})
            if before
            else None,
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
    )


def main() -> int:
    """Called by `make stop` when the worker has ended."""
    with get_client(sync_client=True) as client:
        count = close_interrupted(client)
    if count:
        print(f"{count} run(s) were cut short; triggered again, they go on from their last finished stage.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
