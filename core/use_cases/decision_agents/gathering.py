"""Where decisions come from: an app's own database, Debian's packages, or the desk that the generator plays."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from core.accounting import Accounting
from core.store.decisions import ingest
from core.store.foreign.decisions import import_decisions
from core.store.training_statistics import TrainingStatistics, training_statistics
from core.use_case import Progress
from core.use_cases.decision_agents.config import PACKAGES, DecisionAgentsConfig
from core.use_cases.decision_agents.desk import NO_DAY, desk_rows, end_of
from core.use_cases.decision_agents.packages import package_rows

NAME = "decision_agents"


def gather(config: DecisionAgentsConfig, run_id: str | None, progress: Progress) -> Accounting:
    """Bring what is new or changed into the store; what became of every row.

    Raises: SourceError, ConfigError, StoreError (and the pages before are kept), BusyError when another run is at it.
    """
    total = Accounting()
    for page in _pages(config, run_id):
        total += page
        progress(0.0, f"{total.read:,} decisions read, {total.written:,} new or changed")
    progress(1.0, f"{total.read:,} decisions read, {total.written:,} new or changed")
    return total


def known_until(config: DecisionAgentsConfig) -> datetime:
    """The moment up to which a run knows what happened: the end of its day, and for an app never later than now.

    The generators have a day of their own where a run has none.
    """
    if config.source is None:
        return end_of(config.as_of or NO_DAY)
    now = datetime.now(UTC)
    return now if config.as_of is None else min(now, end_of(config.as_of))


def statistics(config: DecisionAgentsConfig) -> TrainingStatistics:
    """How much each agent type has to train on, by the rewards of the settings; ready where the share of it that isn't held
    out should be `enough_rows`. Raises: StoreError.
    """
    trained_on = 1 - config.export.held_out - config.export.validation
    minimum = math.ceil(config.enough_rows / trained_on)
    return training_statistics(NAME, config.rows_of, config.rewards, minimum)


def _pages(config: DecisionAgentsConfig, run_id: str | None) -> Iterator[Accounting]:
    if config.source is not None:
        return import_decisions(config.source, NAME, config.rewards, run_id=run_id)
    end = known_until(config)
    if config.packages is not None:
        rows = package_rows(config.packages, (end - timedelta(days=1)).date())
        return ingest(PACKAGES, rows, run_id=run_id, now=end)
    return ingest(config.rows_of, desk_rows(config.desk, end), run_id=run_id, now=end)
