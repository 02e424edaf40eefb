"""The whole of Overnight on one machine: `python -m deployments.local up|down|status`.

PostgreSQL, a Prefect server and a worker, started once and found again by every later command.
This module doesn't import Prefect: what talks to its API runs as a process of its own, with the
environment that `Address.environment` makes (Prefect reads its settings when it is imported).
"""

import argparse
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import psutil

from core.config import ROOT
from core.errors import OvernightError, ServiceError
from core.files import data_folder, make_folder
from core.store import server as database
from core.store.engine import place
from core.store.migrate import migrate
from core.store.runs import close_lost_runs
from deployments.address import Address, chosen_port, need_free, usual_port
from deployments.pool import POOL
from deployments.service import Service, settings

PREFECT = (sys.executable, "-m", "prefect")
SERVER = Service("server", "the Prefect server", (*PREFECT, "server", "start"))
WORKER = Service(
    "worker", "the worker", (*PREFECT, "worker", "start", "--pool", POOL, "--type", "process", "--name", POOL)
)
PATIENCE = 120
"""Seconds that a process may take until it answers: a cold disk on a busy machine is slow."""


def up() -> Address:
    """Start what is not running, deploy what changed, and say where it is. Raises: OvernightError."""
    with _alone():
        address = _address()
        fresh = SERVER.process() is None
        if fresh:
            need_free(address.port)
            print(f"Starting the Prefect server on port {address.port} ...", flush=True)
            SERVER.start(address.port, address.environment())
        database.start()
        migrate()
        close_lost_runs()
        _wait_for_server(address)
        _register(address, fresh)
        _start_worker(address)
    return address


def down() -> list[str]:
    """End the worker, then the server, then PostgreSQL; the titles of what was running."""
    ended = []
    with _alone():
        if WORKER.stop():
            ended.append(WORKER.title)
        address = _running_address()
        if address and address.healthy():
            _call(address, "deployments.runs")
        if SERVER.stop():
            ended.append(SERVER.title)
        _close_runs()
        if database.stop():
            ended.append("PostgreSQL")
    return ended


def status() -> bool:
    """Print what runs and where; whether all of it does. Raises: ConfigError."""
    address = _running_address()
    for service in (SERVER, WORKER):
        process = service.process()
        _say(service.title, f"{_since(process):44} {service.log}")
    stands = _database_status()
    answers = address is not None and address.healthy()
    _say("address", f"{address.ui if address else '-'} {'' if answers else '(does not answer)'}")
    _say("data", str(data_folder()))
    return answers and stands and WORKER.process() is not None


def _database_status() -> bool:
    """Print where the database is; whether it stands, as far as that can be seen without asking it."""
    url = database.database_url()
    if database.given_url() is not None:
        _say("PostgreSQL", f"yours: {place(url)}")
        return True
    number = database.running()
    _say("PostgreSQL", f"{_since(psutil.Process(number) if number else None):44} {url.query['host']}")
    return number is not None


def _close_runs() -> None:
    """Let the store know which runs ended with the worker; the next one to open it does it if it is away now."""
    if database.given_url() is not None or database.running():
        with suppress(OvernightError):
            close_lost_runs()


def _say(title: str, words: str) -> None:
    print(f"{title:20} {words}")


def _since(process: psutil.Process | None) -> str:
    return f"up since {_clock(process)}, process {process.pid}" if process else "down"


def _address() -> Address:
    wanted = chosen_port()
    running = _running_address()
    if running is None:
        return Address(wanted or usual_port())
    if wanted not in (None, running.port):
        raise ServiceError(
            f"Overnight is already up on port {running.port}: `make stop` first to have it on {wanted}"
        )
    return running


def _running_address() -> Address | None:
    if SERVER.process() is None:
        return None
    return Address(int(str(SERVER.record()["port"])))


def _wait_for_server(address: Address) -> None:
    limit = time.monotonic() + PATIENCE
    while not address.healthy():
        if SERVER.process() is None:
            raise ServiceError(f"the Prefect server ended while it started: {SERVER.last_words()}")
        if time.monotonic() > limit:
            raise ServiceError(
                f"the Prefect server did not answer at {address.ui} for {PATIENCE} s: `make stop`, then try "
                f"again; its log is {SERVER.log}"
            )
        time.sleep(0.2)


def _register(address: Address, fresh: bool) -> None:
    _call(address, "deployments.register", *(["--fresh"] if fresh else []))


def _start_worker(address: Address) -> None:
    environment = address.environment()
    if WORKER.process() and not _worker_fits(address, environment):
        WORKER.stop()
    if WORKER.process():
        return
    print("Starting the worker ...", flush=True)
    before = time.time()
    WORKER.start(address.port, environment)
    limit = time.monotonic() + PATIENCE
    while not _polls_since(address, before):
        if WORKER.process() is None:
            raise ServiceError(f"the worker ended while it started: {WORKER.last_words()}")
        if time.monotonic() > limit:
            raise ServiceError(
                f"the worker did not report for {PATIENCE} s: see {WORKER.log}, then `make stop`"
            )
        time.sleep(0.3)


def _worker_fits(address: Address, environment: dict[str, str]) -> bool:
    """Whether the worker hands on this shell's environment; a busy one is left alone, with a word."""
    record = WORKER.record()
    if record.get("environment") == settings(environment) and record.get("port") == address.port:
        return True
    process = WORKER.process()
    busy = bool(process and process.children())
    if busy:
        print("The worker is busy and keeps the environment it was started with (`make stop` ends it).")
    return busy


def _polls_since(address: Address, moment: float) -> bool:
    """Whether the worker has reported to the server since `moment` (seconds since 1970)."""
    code, body = address.get(f"/work_pools/{POOL}/workers/filter", body="{}")
    if code != 200:
        return False
    beats = [worker.get("last_heartbeat_time") for worker in json.loads(body)]
    return any(beat and datetime.fromisoformat(beat).timestamp() > moment for beat in beats)


def _call(address: Address, module: str, *arguments: str) -> None:
    """Run one of our modules that talks to the API. Raises: ServiceError with its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=address.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise ServiceError(f"{module} failed: {words.removeprefix('error: ')}")
    if done.stdout.strip():
        print(done.stdout.strip(), flush=True)


@contextmanager
def _alone() -> Iterator[None]:
    """One start or stop at a time; a second command waits for the first."""
    folder = make_folder(data_folder() / "services")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _clock(process: psutil.Process) -> str:
    return datetime.fromtimestamp(process.create_time(), UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.local", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("up", "down", "status"))
    command = parser.parse_args(arguments).command
    try:
        if command == "up":
            print(f"Overnight is up: {up().ui}")
        elif command == "down":
            ended = down()
            print(f"Ended {', '.join(ended)}." if ended else "Nothing was running.")
        else:
            return 0 if status() else 1
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
