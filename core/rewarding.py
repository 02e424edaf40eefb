"""One execution of the reward nights: which use cases, by which versions, and what there is to tell of each."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from core.config import load_config
from core.errors import BusyError, ConfigError, SourceError
from core.files import data_folder, digest, make_folder
from core.record import Record
from core.reports.rewards import SHOWN, LedgerStory, NewRows
from core.reward import RewardSpec
from core.reward_drift import drifts
from core.run import code_revision
from core.store.backfill import backfill
from core.store.ledger import Told
from core.store.ledger_state import model_counts, status_counts, unused_rows, version_change
from core.store.migrate import migrate
from core.store.nights import Night, reward_night, reward_part
from core.store.registry import record_run
from core.store.reward_page import source_of
from core.use_case import Progress, UseCase, UseCaseConfig

BEGINNING = date(1970, 1, 1)
"""Before every decision."""
ALL = "all"
"""What stands for the use case of a run that is about several."""


class RewardRun(Record):
    """What a run computes: the reward versions, by use case."""

    id: str
    preset: str
    specs: Mapping[str, RewardSpec]
    from_apps: tuple[str, ...] = ()
    """Those of the use cases whose rows come from an app: a night first brings in what is new there."""

    @property
    def folder(self) -> Path:
        """Where its report lies."""
        return data_folder() / "runs" / self.id


class Moment(Record):
    """Which night a run stands for, and as of when; `late` when the night's own time was missed by a day or more."""

    night: date
    as_of: datetime
    late: bool = False


def moment_of(scheduled: datetime | None, now: datetime) -> Moment:
    """A run of a schedule stands for the day it was due, and a late one for the last day that was due since.

    So nights that were missed are one night. A run by hand stands for now. Times are in UTC.
    """
    if scheduled is None:
        return Moment(night=now.date(), as_of=now)
    days = max(0, (now - scheduled) // timedelta(days=1))
    due = scheduled + timedelta(days=days)
    return Moment(night=due.date(), as_of=due, late=days > 0)


def open_rewards(run_id: str, use_cases: tuple[UseCase, ...], preset: str) -> RewardRun:
    """Validate the settings of every use case whose rows lie in the store, and write the run down, before any work.

    Raises: ConfigError, StoreError, StorageError.
    """
    specs, from_apps = {}, []
    for use_case in use_cases:
        if use_case.rewards is not None:
            settings = load_config(use_case.config, use_case.name, preset)
            specs[use_case.name] = use_case.rewards(settings)
            if use_case.from_app is not None and use_case.from_app(settings):
                from_apps.append(use_case.name)
    run = RewardRun(id=run_id, preset=preset, specs=specs, from_apps=tuple(from_apps))
    make_folder(run.folder)
    migrate()
    config = {name: spec.stored() for name, spec in specs.items()}
    record_run(
        run_id=run_id,
        use_case=ALL if len(specs) != 1 else next(iter(specs)),
        preset=preset,
        config_digest=digest(config),
        code_revision=code_revision(),
        config=config,
    )
    return run


def gather_new(run: RewardRun, use_case: UseCase, moment: Moment, progress: Progress) -> NewRows | str:
    """Bring what is new at a use case's source into the store; words where it can't be read now.

    What lies in the store has its rewards computed either way. Raises: as the use case's `gather`, but for these.
    """
    if use_case.gather is None:
        return f"{use_case.name}: has no rows in the store"
    config = load_config(use_case.config, use_case.name, run.preset)
    try:
        found = use_case.gather(config.model_copy(update={"as_of": moment.night}), run.id, progress)
    except (SourceError, BusyError) as error:
        return f"{use_case.name}: what is new at the source was not read to its end: {error}"
    return NewRows(use_case=use_case.name, accounting=found)


def night_story(run: RewardRun, use_case: str, moment: Moment, told: Told | None = None) -> LedgerStory | str:
    """Compute a night's rewards of a use case, and what there is to tell; words where somebody else did or does it.

    Raises: as `core.store.nights.reward_night`, but for a ledger that is busy.
    """
    spec = run.specs[use_case]
    try:
        night = reward_night(
            use_case, spec, moment.night, moment.as_of, run_id=run.id, late=moment.late, told=told
        )
    except BusyError as error:
        return f"{use_case}: already running: {error}"
    if night is None:
        return f"{use_case}: the night of {moment.night} is done already"
    return _story(use_case, spec, night)


def part_of_night(
    run_id: str, use_case: UseCase, config: UseCaseConfig, night: date, told: Told | None = None
) -> LedgerStory:
    """Compute the rewards of a run's own source on the way, and what there is to tell: they belong to the night as well.

    Raises: ConfigError where there are none, and as `core.store.nights.reward_part`.
    """
    if use_case.rewards is None or use_case.known_until is None or use_case.rows_of is None:
        raise ConfigError(f"{use_case.name} keeps no rewards in the store")
    spec, source, as_of = use_case.rewards(config), use_case.rows_of(config), use_case.known_until(config)
    made = reward_part(use_case.name, spec, night, as_of, run_id=run_id, rows_of=source, told=told)
    return _story(use_case.name, spec, made)


def _story(use_case: str, spec: RewardSpec, night: Night) -> LedgerStory:
    return LedgerStory(
        use_case=use_case,
        version=spec.version,
        title=f"the night of {night.night}",
        accounting=night.work.accounting,
        stale_snapshots=night.work.stale_snapshots,
        strata=night.strata,
        before=night.before,
        drifts=drifts(night.strata, night.before),
        counts=status_counts(night.spec),
        models=model_counts(night.spec, SHOWN),
        unused=unused_rows(source_of(use_case)),
        changes=version_change(use_case, night.spec) if night.first else (),
    )


def backfill_story(
    run: RewardRun,
    use_case: str,
    since: date | None,
    until: date | None,
    now: datetime,
    *,
    told: Told | None = None,
) -> LedgerStory | str:
    """Compute the rewards that days of a range lack, and what there is to tell; words where somebody else is at it.

    Raises: as `core.store.backfill.backfill`, but for a ledger that is busy.
    """
    spec = run.specs[use_case]
    first, last = since or BEGINNING, until or now.date()
    try:
        filled = backfill(use_case, spec, first, last, now, run_id=run.id, told=told)
    except BusyError as error:
        return f"{use_case}: already running: {error}"
    return LedgerStory(
        use_case=use_case,
        version=spec.version,
        title=f"backfill of {since or 'the first day'} to {last}",
        accounting=filled.work.accounting,
        stale_snapshots=filled.work.stale_snapshots,
        strata=filled.work.strata,
        counts=status_counts(filled.spec),
        models=model_counts(filled.spec, SHOWN),
        unused=unused_rows(source_of(use_case)),
        changes=version_change(use_case, filled.spec),
        days=filled.before,
        days_after=filled.after,
    )
