"""What a schedule starts belongs to its day: the next week learns from new drafts, the same night again does nothing twice."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import CronSchedule
from prefect.flow_engine import run_flow

from core.store.engine import transaction
from core.store.tables import RunRow
from flows.export import export

pytestmark = pytest.mark.slow


def scheduled_runs(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    """What the scheduler makes of a weekly deployment for the last three weeks, oldest first."""
    now = datetime.now(UTC)
    window = {"start_time": str(now - timedelta(weeks=3)), "end_time": str(now), "min_runs": 2}
    client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json=window)
    runs = client.read_flow_runs()
    mine = [run for run in runs if run.deployment_id == deployment and run.auto_scheduled]
    return sorted(mine, key=lambda run: run.expected_start_time)


def test_each_scheduled_day_draws_its_own_items(prefect_server, home, database, small, states):
    """Two weeks give two sets of rows; a run by hand as of the first of them finds its rows made."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(export)
        parameters = {"method": "sft", "preset": "demo", "overrides": small}
        deployment = client.create_deployment(
            flow_id, "of-a-schedule", schedules=[], parameters=parameters, enforce_parameter_schema=False
        )
        client.create_deployment_schedules(deployment, [(CronSchedule(cron="0 3 * * 1"), True)])
        first, second = scheduled_runs(client, deployment)[:2]
    for run in (first, second):
        run_flow(export, flow_run=run, parameters=run.parameters, return_type="state")
    days = [run.expected_start_time.date() for run in (first, second)]
    assert days[1] - days[0] == timedelta(weeks=1)
    assert [recorded_day(run) for run in (first, second)] == days
    assert states(second.id, "collect")["collect"] == "Completed"
    assert len(list((home / "stages" / "collect").iterdir())) == 2

    by_hand = export("fantasy_draft", "sft", "demo", small | {"as_of": str(days[0])}, return_state=True)
    assert states(by_hand.state_details.flow_run_id, "collect")["collect"] == "Cached"
    without = export("fantasy_draft", "sft", "demo", small, return_state=True)
    assert states(without.state_details.flow_run_id, "collect")["collect"] == "Completed"


def recorded_day(run: FlowRun) -> date:
    with transaction() as session:
        return date.fromisoformat(session.get(RunRow, str(run.id)).config["as_of"])
