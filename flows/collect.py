"""Rows into the store, from where an app keeps or records them."""

from typing import Any

from prefect import flow

from core.accounting import Accounting
from core.trajectory_run import TrajectorySource
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.gather import gather, gather_trajectories, open_trajectories, report_gathered, report_trajectories
from tasks.open import ENDINGS, open_run


@flow(name="collect", flow_run_name="collect-{use_case}-{preset}", validate_parameters=False, **ENDINGS)
@checked
def collect(
    use_case: UseCaseName = UseCaseName("decision_agents"),
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
) -> Accounting:
    """Bring what is new or changed at the use case's source into the store, and say how much there is to train on.

    Args:
        overrides: Settings that differ from the preset, by dotted key: {"source": {"kind": "sqlite", "table": "Decision"}}.
    """
    run = open_run(use_case, preset, overrides)
    gathered = gather(run)
    report_gathered(run, gathered)
    return gathered


@flow(name="collect", flow_run_name="collect-trajectories-{source}", validate_parameters=False, **ENDINGS)
@checked
def collect_trajectories(
    source: TrajectorySource = TrajectorySource("default"),
    overrides: dict[str, Any] | None = None,
) -> dict[str, Accounting]:
    """Bring what is new or changed of an app's trajectories, model calls and market outcomes into the store.

    Args:
        source: The app: a file of configs/trajectories that says where its tables are.
        overrides: Settings that differ from it, by dotted key: {"source.kind": "sqlite", "calls.table": "calls"}.
    """
    run = open_trajectories(source, overrides)
    gathered = gather_trajectories(run)
    report_trajectories(run, gathered)
    return gathered
