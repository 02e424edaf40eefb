"""The reward ledger: every night what is new at the apps, changed or due, and on demand what days of the past lack."""

from datetime import date

from prefect import State, flow
from prefect.states import Completed

from core.errors import ConfigError
from core.reports.rewards import LedgerStory
from core.use_cases import Preset
from flows.parameters import checked
from tasks.open import ENDINGS
from tasks.rewards import compute_days, compute_night, gather_night, open_rewards, report_rewards, this_night

NONE = "no use case has rows in the store"


@flow(name="rewards", flow_run_name="rewards-nightly", validate_parameters=False, **ENDINGS)
@checked
def nightly(preset: Preset = Preset("default")) -> str | State[None]:
    """Rewards for everything pending, of all use cases with stored rows.

    What is new at the apps that the settings name is brought in before; where one can't be reached, the report says so. A
    second run at once leaves the work to the first, and nights that were missed are done as one.
    """
    run = open_rewards(preset)
    moment = this_night()
    gathered = [gather_night(run, use_case, moment) for use_case in run.from_apps]
    told = [compute_night(run, use_case, moment) for use_case in run.specs]
    return _end(report_rewards(run, f"Rewards of the night of {moment.night}", told, gathered), told)


@flow(name="rewards", flow_run_name="rewards-backfill", validate_parameters=False, **ENDINGS)
@checked
def backfill(
    from_day: date | None = None, to_day: date | None = None, preset: Preset = Preset("default")
) -> str | State[None]:
    """Rewards for days that lack some by the version in the settings; other days are left as they are.

    Args:
        from_day: The first day whose decisions are meant, in UTC; without one, from the first decision on.
        to_day: The last day; without one, up to now.
    """
    if from_day and to_day and to_day < from_day:
        raise ConfigError(f"to_day {to_day} is before from_day {from_day}: give the earlier day first")
    run = open_rewards(preset)
    told = [compute_days(run, use_case, from_day, to_day) for use_case in run.specs]
    return _end(
        report_rewards(run, f"Rewards of {from_day or 'the first day'} to {to_day or 'today'}", told), told
    )


def _end(path: str, told: list[LedgerStory | str]) -> str | State[None]:
    """The report's path; where nothing was to do here, a completed run that says so."""
    if any(isinstance(one, LedgerStory) for one in told):
        return path
    return Completed(message="; ".join(map(str, told)) or NONE)
