"""Learning from ratings again and again: one run at a time, each new rating once."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import task
from prefect.artifacts import create_table_artifact

from core.errors import ConfigError
from core.run import Run
from core.store.lease import lease
from core.store.rating_claims import OnlineSettings, OnlineStatus, online_status
from core.store.rating_claims import claim as claim_new
from core.store.rating_claims import use as use_claimed
from tasks.stage import RETRIES

STATUS_KEY = "overnight-online"
SECONDS = 86_400.0
"""How long a run may take whose machine is gone; on its own machine a dead process is found out at once."""


@contextmanager
def alone(run: Run) -> Iterator[None]:
    """Be the only run that learns from a source's ratings. Raises: BusyError when another one does."""
    with lease(f"learning from the ratings of {_source(run)}", run.id, SECONDS):
        yield


@task(name="status", **RETRIES)
def status(run: Run, settings: OnlineSettings) -> OnlineStatus:
    """Show what there is to learn from, and whether it is time."""
    found = online_status(_source(run), settings)
    rows = [{"what": name, "is": str(value)} for name, value in found.model_dump().items()]
    create_table_artifact(rows, key=STATUS_KEY, description=found.reason)
    return found


@task(name="claim", **RETRIES)
def claim(run: Run) -> int:
    """Take every new rating for this run."""
    return claim_new(_source(run), run.id)


@task(name="use", **RETRIES)
def use(run: Run) -> int:
    """Note that this run has learnt from what it took."""
    return use_claimed(_source(run), run.id)


def _source(run: Run) -> str:
    if run.use_case.rows_of is None:
        raise ConfigError(
            f"{run.use_case.name} has no rows in the store: there is nothing to learn from again"
        )
    return run.use_case.rows_of(run.config)
