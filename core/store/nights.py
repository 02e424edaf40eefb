"""Nights of the reward ledger: each kept with what it found, so that the next can say what is different."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from core.record import Record
from core.reward import RewardSpec
from core.reward_moments import Stratum, merged
from core.store.engine import connection
from core.store.ledger import LedgerWork, OpenLedger, Told, open_ledger

WHOLE = "*"
"""The stratum of a night that says that it ended."""
DONE = "+"
"""The stratum of a night that says what a run has done that is not at its end."""
REMEMBERED = 7
"""Nights that a night is held against."""
KEEP = """
    INSERT INTO overnight.reward_nights (spec, night, stratum, figures, run_id) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (spec, night, stratum) DO UPDATE SET figures = excluded.figures, run_id = excluded.run_id
"""


class Night(Record):
    """One night's rewards, and those of the seven before it."""

    night: date
    spec: int
    first: bool = False
    """Whether no night before was done by this version."""
    work: LedgerWork
    """What this run did."""
    strata: Mapping[str, Stratum]
    """Of all that was computed for this night, by runs that were killed too."""
    before: Mapping[str, Stratum]
    """Of the seven nights before."""


def reward_night(
    use_case: str,
    spec: RewardSpec,
    night: date,
    as_of: datetime,
    *,
    run_id: str,
    late: bool = False,
    told: Told | None = None,
) -> Night | None:
    """Compute a night's rewards, as of a moment; None when a newer night is done, or a `late` one's own is.

    A run that goes on after a fault tells what it did before too. Raises: as `open_ledger` and `OpenLedger.compute`.
    """
    with open_ledger(use_case, spec, as_of, run_id=run_id) as opened:
        kept = _Kept(opened.ledger.spec, night, run_id)
        with connection() as held:
            newest = _newest(held, kept.spec)
        if newest is not None and (newest > night or (late and newest == night)):
            return None
        made = _computed(opened, kept, told, whole=True)
    return made.model_copy(update={"first": newest is None or (newest == night and not made.before)})


def reward_part(
    use_case: str,
    spec: RewardSpec,
    night: date,
    as_of: datetime,
    *,
    run_id: str,
    rows_of: str,
    told: Told | None = None,
) -> Night:
    """Compute the rewards of one source as a part of a night, whichever nights are done; the night stays open.

    Raises: as `reward_night`.
    """
    with open_ledger(use_case, spec, as_of, run_id=run_id, rows_of=rows_of) as opened:
        return _computed(opened, _Kept(opened.ledger.spec, night, run_id), told, whole=False)


def _computed(opened: OpenLedger, kept: "_Kept", told: Told | None, *, whole: bool) -> Night:
    """Everything there is to compute, kept with the night."""
    before = {"spec": kept.spec, "night": kept.night, "nights": REMEMBERED}
    with connection() as held:
        so_far = _so_far(held, kept)
        earlier = _strata(held, OF_NIGHT, (kept.spec, kept.night))
        remembered = _strata(held, OF_NIGHTS_BEFORE, before)
    work = opened.compute(told, lambda held, work: kept.keep(held, work, earlier), so_far)
    with connection() as held:
        opened.alone.renew(held)
        held.execute(FORGET, (kept.spec, kept.night, DONE))
        if whole:
            held.execute(KEEP, kept.row(WHOLE, Jsonb(work.accounting.model_dump(mode="json"))))
    strata = merged(earlier, work.strata)
    return Night(night=kept.night, spec=kept.spec, work=work, strata=strata, before=remembered)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where a night's strata and its run's work are kept: page by page, so that a night that was killed has lost none."""

    spec: int
    night: date
    run_id: str

    def keep(self, held: psycopg.Connection, work: LedgerWork, earlier: Mapping[str, Stratum]) -> None:
        for agent, stratum in merged(earlier, work.strata).items():
            held.execute(KEEP, self.row(agent, Jsonb(stratum.model_dump(mode="json"))))
        held.execute(KEEP, self.row(DONE, Jsonb(work.model_dump(mode="json", exclude={"strata"}))))

    def row(self, stratum: str, figures: Jsonb) -> tuple[object, ...]:
        return self.spec, self.night, stratum, figures, self.run_id


OF_NIGHT = "SELECT stratum, figures FROM overnight.reward_nights WHERE spec = %s AND night = %s AND stratum NOT IN ('*', '+')"
FORGET = "DELETE FROM overnight.reward_nights WHERE (spec, night, stratum) = (%s, %s, %s)"
OF_RUN = "SELECT figures FROM overnight.reward_nights WHERE (spec, night, stratum, run_id) = (%s, %s, %s, %s)"

OF_NIGHTS_BEFORE = """
    SELECT stratum, figures FROM overnight.reward_nights WHERE spec = %(spec)s AND stratum NOT IN ('*', '+') AND night IN (
        SELECT DISTINCT night FROM overnight.reward_nights
        WHERE spec = %(spec)s AND night < %(night)s AND stratum NOT IN ('*', '+')
        ORDER BY night DESC LIMIT %(nights)s
    )
"""


def _so_far(held: psycopg.Connection, kept: _Kept) -> LedgerWork:
    """What an earlier try of the same run has done."""
    row = held.execute(OF_RUN, (kept.spec, kept.night, DONE, kept.run_id)).fetchone()
    return LedgerWork() if row is None else LedgerWork.model_validate(row[0])


def _newest(held: psycopg.Connection, spec: int) -> date | None:
    query = "SELECT max(night) FROM overnight.reward_nights WHERE spec = %s AND stratum = %s"
    row = held.execute(query, (spec, WHOLE)).fetchone()
    return row[0] if row else None


def _strata(held: psycopg.Connection, query: LiteralString, values: Any) -> dict[str, Stratum]:
    strata: dict[str, Stratum] = {}
    for agent, figures in held.execute(query, values):
        strata = merged(strata, {agent: Stratum.model_validate(figures)})
    return strata
