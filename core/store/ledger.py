"""The reward ledger: every decision's reward computed once, and again only where something changed.

Pages of decisions by their number, one commit each, under a lease that is renewed in the page's transaction: what was
killed goes on where it ended, and two at once do no decision twice.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg

from core.accounting import Accounting
from core.record import Record
from core.reward import RewardSpec, Scorer
from core.reward_moments import Stratum, merged
from core.store.engine import connection
from core.store.lease import Lease, lease
from core.store.reward_page import Ledger, compute_page
from core.store.reward_specs import spec_number
from core.store.stale import mark_stale

Told = Callable[[Accounting], None]
"""Called after each page with what became of all decisions so far."""


class LedgerWork(Record):
    """What became of the decisions that were looked at."""

    accounting: Accounting = Accounting()
    strata: Mapping[str, Stratum] = {}
    """Of the rewards that were computed, by agent type."""
    stale_snapshots: int = 0
    """Snapshots of decisions or rewards which are others now."""


Kept = Callable[[psycopg.Connection, LedgerWork], None]
"""Called in each page's transaction with what was done so far."""


@dataclass(frozen=True, slots=True)
class OpenLedger:
    """A ledger that this process alone works on."""

    ledger: Ledger
    alone: Lease

    def between(self, since: datetime, until: datetime) -> "OpenLedger":
        """The same ledger, for the decisions that were made from one moment and before another."""
        return replace(self, ledger=replace(self.ledger, since=since, until=until))

    def compute(
        self, told: Told | None = None, kept: Kept | None = None, so_far: LedgerWork | None = None
    ) -> LedgerWork:
        """Bring the rewards up to the ledger's moment, and add what became of the decisions to what was done so far.

        Raises: LeaseLostError, StoreError (what was committed stays, the next call goes on), DataError when decisions
        were lost on the way.
        """
        work, last = so_far or LedgerWork(), 0
        while True:
            with connection() as held:
                self.alone.renew(held)
                page = compute_page(held, self.ledger, last)
                if page.accounting.read == 0:
                    return work
                work = LedgerWork(
                    accounting=work.accounting + page.accounting,
                    strata=merged(work.strata, page.moments.strata(self.ledger.scorer.names)),
                    stale_snapshots=work.stale_snapshots + mark_stale(held, self.ledger.spec, page.changed),
                )
                if kept is not None:
                    kept(held, work)
            last = page.last
            if told is not None:
                told(work.accounting)


@contextmanager
def open_ledger(
    use_case: str,
    spec: RewardSpec,
    as_of: datetime,
    *,
    run_id: str,
    rows_of: str | None = None,
) -> Iterator[OpenLedger]:
    """A use case's rewards by one version, for this process alone; `rows_of` keeps to the decisions of one source.

    Raises: BusyError when another run is at it, ConfigError when the version stands for another spec, StoreError.
    """
    with lease(f"rewards {use_case}", run_id) as alone:
        with connection() as held:
            number = spec_number(held, use_case, spec)
        yield OpenLedger(Ledger(use_case, number, Scorer(spec), as_of, rows_of=rows_of, run_id=run_id), alone)
