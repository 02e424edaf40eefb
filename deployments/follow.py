"""Trigger a deployment and watch its run: `python -m deployments.follow fantasy-draft/weekly --preset demo`."""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for

from core.errors import OvernightError, ServiceError
from core.files import data_folder
from deployments.address import Address, chosen_port, usual_port
from deployments.display import Display, display_for, read_stages
from deployments.local import WORKER

UNFINISHED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]
LOOK = 1.0
"""Seconds between two looks at the server, which shares its cores with the run."""
PATIENCE = 120
"""Seconds that the server may be silent: it is busy, or being started again."""
SETTLED = 15
"""Seconds that a finished run's stages are waited for: their last states reach the server after the run's own."""


def trigger(client: SyncPrefectClient, deployment: str, parameters: dict[str, Any]) -> tuple[FlowRun, bool]:
    """Ask for a run as the UI does; or find the one that was asked for before and is not finished.

    Returns the run, and whether it is new. Raises: ServiceError.
    """
    try:
        known = client.read_deployment_by_name(deployment)
    except ObjectNotFound as error:
        raise ServiceError(f"the server has no deployment {deployment}: `make up` deploys it") from error
    wanted = known.parameters | parameters
    for run in _unfinished(client, known):
        if "demo" in run.tags and run.parameters == wanted:
            return run, False
    return client.create_flow_run_from_deployment(known.id, parameters=parameters, tags=["demo"]), True


def follow(client: SyncPrefectClient, run_id: UUID, display: Display) -> FlowRun:
    """Show the run's stages until it and they have finished. Raises: ServiceError."""
    answered = time.monotonic()
    finished: float | None = None
    with display:
        while True:
            try:
                run = client.read_flow_run(run_id)
                stages = read_stages(client, run_id)
                display.show(run, stages)
                answered = time.monotonic()
            except httpx.HTTPError as error:
                if time.monotonic() - answered > PATIENCE:
                    raise ServiceError(
                        f"the server has not answered for {PATIENCE} s ({error}): `make status` shows what runs"
                    ) from error
            else:
                if run.state is not None and run.state.is_final():
                    finished = finished or answered
                    if answered - finished > SETTLED or all(stage.finished for stage in stages):
                        return run
                else:
                    _need_worker()
            time.sleep(LOOK)


def outcome(run: FlowRun) -> list[tuple[str, str]]:
    """What a person wants to know of a finished run, as labelled lines."""
    folder = data_folder() / "runs" / str(run.id)
    address = str(url_for(run))
    if not succeeded(run):
        return [
            ("failed" if run.state_type == StateType.FAILED else _state(run), _reason(run)),
            ("run", address),
        ]
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        summary = {}
    return [
        ("verdict", str(summary.get("verdict", "-"))),
        ("reason", str(summary.get("reason", "-"))),
        ("report", str(summary.get("report", folder / "report.md"))),
        ("run", address),
    ]


def succeeded(run: FlowRun) -> bool:
    """Whether the chain went through, whatever its verdict."""
    return run.state is not None and run.state.is_completed()


def _unfinished(client: SyncPrefectClient, deployment: DeploymentResponse) -> Sequence[FlowRun]:
    return client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))),
    )


def _need_worker() -> None:
    if WORKER.process() is None:
        raise ServiceError(f"the worker has ended: {WORKER.last_words()}; `make demo` starts it again")


def _state(run: FlowRun) -> str:
    return (run.state_name or "unknown").lower()


def _reason(run: FlowRun) -> str:
    """The error's own line, without what Prefect says before it."""
    message = (run.state.message if run.state else None) or "no message"
    line = re.sub(r"^(Flow|Task) run encountered an exception:? *(\w+(Error|Training): )?", "", message)
    return line if line != message else f"{line} (the run's output is in {WORKER.log})"


def _print(lines: list[tuple[str, str]]) -> None:
    print()
    for label, words in lines:
        print(f"{label:9} {words}")


def _watch(deployment: str, parameters: dict[str, Any]) -> int:
    address = Address(chosen_port() or usual_port())
    with get_client(sync_client=True) as client:
        run, new = trigger(client, deployment, parameters)
        print(f"{'Triggered' if new else 'Already under way:'} {deployment}: {url_for(run)}", flush=True)
        try:
            run = follow(client, run.id, display_for(sys.stdout))
        except KeyboardInterrupt:
            print(f"\nThe run goes on: {url_for(run)}\nFollow it again: make demo")
            print(f"Cancel it: {address.prefix()}.venv/bin/prefect flow-run cancel {run.id}")
            return 130
        _print(outcome(run))
        if not address.usual:
            print(f"\nIn another terminal first: export PREFECT_API_URL={address.api}")
        print("\nThe server and the worker stay up; `make stop` ends them.")
        return 0 if succeeded(run) else 1


def main() -> int:
    """The command line; run it with the environment of `Address.environment`."""
    parser = argparse.ArgumentParser(prog="python -m deployments.follow", description=__doc__)
    parser.add_argument("deployment")
    parser.add_argument("--preset", default="demo")
    arguments = parser.parse_args()
    try:
        return _watch(arguments.deployment, {"preset": arguments.preset})
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
    except httpx.HTTPError as error:
        print(f"error: the server refused: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
