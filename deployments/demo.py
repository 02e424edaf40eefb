"""The demo: `python -m deployments.demo` starts Overnight, triggers the weekly draft chain and follows it."""

import argparse
import os
import sys

from core.config import presets
from core.errors import OvernightError
from deployments import local


def main(arguments: list[str] | None = None) -> int:  # noqa: RET503  (it becomes another program)
    """Start what is needed, then become the process that triggers the run and follows it."""
    parser = argparse.ArgumentParser(prog="python -m deployments.demo", description=__doc__)
    parser.add_argument("--preset", default="demo", choices=presets("fantasy_draft"))
    preset = parser.parse_args(arguments).preset
    try:
        address = local.up()
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped while starting; `make stop` ends what is up.", file=sys.stderr)
        return 130
    sys.stdout.flush()
    command = [sys.executable, "-m", "deployments.follow", "fantasy-draft/weekly", "--preset", preset]
    # Prefect reads its settings when it is imported: only a new program sees them all.
    os.execve(sys.executable, command, address.environment())  # noqa: S606  (nothing for a shell to read)


if __name__ == "__main__":
    sys.exit(main())
