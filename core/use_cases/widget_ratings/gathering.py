"""Where ratings come from: an app's own database, JSON files, or the simulated raters."""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta

from core.accounting import Accounting
from core.rating import Entry
from core.rating_files import entries_in, ratings_in
from core.store.foreign.ratings import import_ratings
from core.store.quarantine import Unusable
from core.store.rating_statistics import RatingStatistics, rating_statistics
from core.store.ratings import ingest_entries, ingest_ratings, of_another
from core.use_case import Progress
from core.use_cases.widget_ratings.config import WidgetRatingsConfig
from core.use_cases.widget_ratings.simulation import Row, entry_rows, rating_rows

NO_DAY = date(2026, 11, 2)
"""The last day of a simulation that no night was named for."""


def gather(config: WidgetRatingsConfig, run_id: str | None, progress: Progress) -> Accounting:
    """Bring what is new or changed into the store, entries first; what became of every row.

    Raises: DataError for a file that can't be read, SourceError, ConfigError, StoreError (and the pages before are kept),
    BusyError when another run is at it.
    """
    total = Accounting()
    for page in _pages(config, run_id):
        total += page
        progress(0.0, f"{total.read:,} rows read, {total.written:,} new or changed")
    progress(1.0, f"{total.read:,} rows read, {total.written:,} new or changed")
    return total


def known_until(config: WidgetRatingsConfig) -> datetime:
    """The moment up to which a run knows what was rated: the end of its day, and never later than now but in a simulation."""
    if config.is_simulated:
        return _end_of(config.as_of or NO_DAY)
    now = datetime.now(UTC)
    return now if config.as_of is None else min(now, _end_of(config.as_of))


def statistics(config: WidgetRatingsConfig) -> RatingStatistics:
    """How many ratings the source has. Raises: StoreError."""
    return rating_statistics(config.rows_of)


def entry_pages(
    config: WidgetRatingsConfig, run_id: str | None = None, refused: set[Entry] | None = None
) -> Iterator[Accounting]:
    """Bring what is shown into the store: the simulation's or a file's entries. An app's come with its ratings.

    `refused` gets those whose id stands for something else. Raises: as `gather`.
    """
    source = config.rows_of
    if config.is_simulated:
        yield from ingest_entries(source, entry_rows(config.simulation), run_id=run_id, refused=refused)
    elif config.data_file is not None:
        yield from ingest_entries(source, entries_in(config.data_file), run_id=run_id, refused=refused)


def _pages(config: WidgetRatingsConfig, run_id: str | None) -> Iterator[Accounting]:
    source, refused = config.rows_of, set[Entry]()
    yield from entry_pages(config, run_id, refused)
    others = {entry.entry_id for entry in refused}
    if config.is_simulated:
        end = known_until(config)
        votes = _about_these(source, rating_rows(config.simulation, end), others)
        yield from ingest_ratings(source, votes, run_id=run_id, now=end)
    if config.source is not None and config.source.kind != "recorded":
        yield from import_ratings(config.source, run_id=run_id)
    for path in filter(None, (config.ratings_file,)):
        votes = _about_these(source, ratings_in(path, config.rater), others)
        yield from ingest_ratings(source, votes, run_id=run_id)


def _about_these(source: str, votes: Iterable[Row], others: Collection[str]) -> Iterator[Row | Unusable]:
    """The votes; those on entries that were refused were given to something else than what their id stands for."""
    for vote in votes:
        yield of_another(source, vote) if str(vote.get("entry_id")) in others else vote


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(0, tzinfo=UTC))
