"""What `make demo` costs on this machine: `python -m benchmarks.demo [--quick]`.

The real thing, in a data folder, on a port and with an embedded database of its own: server, worker and the whole chain;
what runs here already is not touched. Times are of the
commands that make runs once all is installed; memory is that of all its processes together (proportional set size:
shared pages count once). `--quick` only starts everything, stops it, and starts it again.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psutil

from benchmarks.figures import Figure, report

MINUTES, MINUTES_WITHOUT_BF16 = 8.0, 15.0
GIGABYTES = 4.0
SECOND_START = 25.0
SAMPLE_SECONDS = 1.0
CPU_FLAGS = Path("/proc/cpuinfo")


class Memory:
    """The most that all processes of one data folder held at once, sampled every second."""

    def __init__(self, home: str) -> None:
        self.home, self.peak = home, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(_bytes(process) for process in self._processes()))

    def _processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("OVERNIGHT_HOME") == self.home or self.home in " ".join(
                    process.cmdline()
                )
            except psutil.Error:
                continue
            if ours and process.pid != os.getpid():
                yield process


def _bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(memory, "pss", memory.rss))


@contextmanager
def overnight() -> Iterator[dict[str, str]]:
    """The environment of an Overnight of its own, stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="overnight-demo-") as home, socket.socket() as probe:
        Path(home).chmod(0o755)
        probe.bind(("127.0.0.1", 0))
        inherited = {name: value for name, value in os.environ.items() if name != "OVERNIGHT_DATABASE_URL"}
        environment = inherited | {"OVERNIGHT_HOME": home, "OVERNIGHT_PORT": str(probe.getsockname()[1])}
        probe.close()
        try:
            yield environment
        finally:
            run(environment, "deployments.local", "down")


def run(environment: dict[str, str], *module: str) -> float:
    """Seconds that one of our commands takes; what it prints goes to standard error."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", *module], env=environment, stdout=sys.stderr, check=True)
    return time.perf_counter() - started


def starts(environment: dict[str, str]) -> Figure:
    """How long a second start takes, of a server that was stopped."""
    first = run(environment, "deployments.local", "up")
    run(environment, "deployments.local", "down")
    second = run(environment, "deployments.local", "up")
    return Figure("second start", second, "s", SECOND_START, f"the first took {first:.1f} s", at_most=True)


def whole(environment: dict[str, str]) -> list[Figure]:
    """The run that `make demo` triggers: its time, and its memory with server, worker and database."""
    with Memory(environment["OVERNIGHT_HOME"]) as memory:
        minutes = run(environment, "deployments.demo") / 60
    fast = CPU_FLAGS.exists() and any(flag in CPU_FLAGS.read_text() for flag in ("avx512_bf16", "amx_bf16"))
    told = (
        f"{os.cpu_count()} cores {'with' if fast else 'without'} AVX512-BF16 or AMX; {_stages(environment)}"
    )
    limit = MINUTES if fast else MINUTES_WITHOUT_BF16
    return [
        Figure("demo run", minutes, "min", limit, told, at_most=True),
        Figure(
            "demo peak memory", memory.peak / 1e9, "GB", GIGABYTES, "all its processes together", at_most=True
        ),
    ]


def _stages(environment: dict[str, str]) -> str:
    summaries = Path(environment["OVERNIGHT_HOME"]).glob("runs/*/summary.json")
    seconds = json.loads(next(summaries).read_text())["seconds"]
    return ", ".join(f"{stage} {value:.0f} s" for stage, value in seconds.items())


def main() -> int:
    """Measure, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the starts")
    quick = parser.parse_args().quick
    with overnight() as environment:
        return report([starts(environment), *([] if quick else whole(environment))])


if __name__ == "__main__":
    sys.exit(main())
