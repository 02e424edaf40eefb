"""Rate by hand what a dashboard shows: `make rate`, or `python -m apps.rating`, and open the address that it prints.

The ratings are kept as an app's are, under the name of their source; `widget-ratings/online` learns from them.
"""

import argparse
import sys
from pathlib import Path

import uvicorn

from apps.loopback import HERE, listen
from apps.rating.server import rating_app
from core.config import load_config
from core.errors import ConfigError, OvernightError
from core.store.migrate import migrate
from core.store.rating_statistics import RatingStatistics, rating_statistics
from core.use_cases.widget_ratings.config import FILES, SIMULATED, WidgetRatingsConfig
from core.use_cases.widget_ratings.gathering import entry_pages
from core.use_cases.widget_ratings.rows import NAME

PORT = 4281


def ready(source: str, data_file: Path | None) -> RatingStatistics:
    """What there is to rate; what the catalogue or a file can show is brought in where it is not there yet.

    Raises: ConfigError for a source without entries, DataError, StoreError.
    """
    migrate()
    found = rating_statistics(source)
    if data_file is not None or (source == SIMULATED and not found.entries):
        files = {"data_file": data_file, "file_source": source}
        for _page in entry_pages(load_config(WidgetRatingsConfig, NAME, overrides=files)):
            pass
        found = rating_statistics(source)
    if not found.entries:
        raise ConfigError(
            f"the source '{source}' has nothing to rate: bring its entries in by collect/ratings, or name a --data-file"
        )
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m apps.rating", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--source", help="whose entries; without one, the catalogue's, or those of files")
    parser.add_argument("--data-file", type=Path, help="rate the entries of a JSON file", metavar="FILE")
    asked = parser.parse_args()
    source = asked.source or (SIMULATED if asked.data_file is None else FILES)
    try:
        found = ready(source, asked.data_file)
        listening = listen(asked.port)
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    address = f"http://{HERE[0]}:{listening.getsockname()[1]}"
    print(
        f"Rate at {address} ({found.entries:,} entries; {found.sentence[:-1]}); Ctrl-C ends it.", flush=True
    )
    uvicorn.run(rating_app(source), fd=listening.fileno(), log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
