"""Rows into the store, from where an app keeps or records them."""

from typing import Any

from prefect import flow

from core.accounting import Accounting
from core.use_cases import Preset, UseCaseName
from flows.parameters import checked
from tasks.gather import gather, report_gathered
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
