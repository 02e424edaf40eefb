"""Rewards of days that lack them, or have them by an older version alone."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from core.record import Record
from core.reward import RewardSpec
from core.store.ledger import LedgerWork, Told, open_ledger
from core.store.ledger_state import Day, days_lacking


class Backfill(Record):
    """The days that lacked rewards, what was done, and which lack some still."""

    spec: int
    since: date
    until: date
    before: tuple[Day, ...]
    after: tuple[Day, ...]
    """What can't be used lacks its reward still."""
    work: LedgerWork


def backfill(
    use_case: str,
    spec: RewardSpec,
    since: date,
    until: date,
    as_of: datetime,
    *,
    run_id: str,
    told: Told | None = None,
) -> Backfill:
    """Compute the rewards of the days of a range, its last included, that lack some by this version; other days are left.

    Raises: as `open_ledger` and `OpenLedger.compute`.
    """
    work = LedgerWork()
    with open_ledger(use_case, spec, as_of, run_id=run_id) as opened:
        before = days_lacking(opened.ledger.spec, since, until)
        for first, last in _stretches(before):
            stretch = opened.between(first.start, last.start + timedelta(days=1))
            work = stretch.compute(told, so_far=work)
        after = days_lacking(opened.ledger.spec, since, until)
    return Backfill(
        spec=opened.ledger.spec,
        since=since,
        until=until,
        before=tuple(before),
        after=tuple(after),
        work=work,
    )


def _stretches(days: Sequence[Day]) -> Iterator[tuple[Day, Day]]:
    """The first and last of each row of days that follow one another."""
    first = last = None
    for day in days:
        if first is None or last is None:
            first = last = day
        elif day.day == last.day + timedelta(days=1):
            last = day
        else:
            yield first, last
            first = last = day
    if first is not None and last is not None:
        yield first, last
