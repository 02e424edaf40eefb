"""A long-running process that outlives the command which started it, and can be found again.

Its file in `services/` holds the process id with its start time, so that a number which the system
has given to another program since is never taken for ours.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.config import ROOT
from core.errors import ServiceError
from core.files import data_folder, digest, make_folder, write_json, writing
from core.process import find_process

LOG_LIMIT = 10_000_000
"""Bytes after which a log is set aside at the next start."""


@dataclass(frozen=True, slots=True)
class Service:
    """One of the processes behind the API."""

    name: str
    title: str
    command: Sequence[str]

    @property
    def log(self) -> Path:
        """What the process prints."""
        return data_folder() / "logs" / f"{self.name}.log"

    @property
    def file(self) -> Path:
        """Process id, start time, port, and the digest of the environment it was started with."""
        return data_folder() / "services" / f"{self.name}.json"

    def record(self) -> dict[str, object]:
        """What `start` wrote; empty when there is nothing readable."""
        try:
            record = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def process(self) -> psutil.Process | None:
        """The living process, None when it has ended."""
        record = self.record()
        try:
            return find_process(int(str(record.get("pid"))), float(str(record.get("started"))))
        except ValueError:
            return None

    def start(self, port: int, environment: Mapping[str, str]) -> None:
        """Start the process in a session of its own. Raises: StorageError."""
        # A shell script starts its background jobs with SIGINT ignored, and children inherit that: a
        # worker would then never hear SIGTERM, which Prefect passes on as SIGINT. Whoever handles a
        # signal gives its default to what it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        make_folder(self.log.parent)
        with writing(self.log):
            if self.log.is_file() and self.log.stat().st_size > LOG_LIMIT:
                self.log.replace(self.log.with_suffix(".1.log"))
            with self.log.open("ab") as log:
                child = subprocess.Popen(
                    self.command,
                    cwd=ROOT,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        started = psutil.Process(child.pid).create_time()
        child.returncode = 0  # it is meant to outlive this command: no warning when the handle goes
        write_json(
            self.file,
            {"pid": child.pid, "started": started, "port": port, "environment": settings(environment)},
        )

    def stop(self, grace: float = 20) -> bool:
        """End the process and all that it started; False when it was not running. Raises: ServiceError."""
        process = self.process()
        if process is None:
            self.file.unlink(missing_ok=True)
            return False
        try:
            descendants = process.children(recursive=True)
            process.send_signal(signal.SIGTERM)
            self._wait_for_end(grace)
        except psutil.NoSuchProcess:
            descendants = []
        except psutil.AccessDenied as error:
            raise ServiceError(
                f"{self.title} (process {process.pid}) belongs to {process.username()}: stop it as that user"
            ) from error
        for left in descendants:  # what a run started must not outlive the worker
            if left.is_running():
                left.kill()
        if self.process() is not None:
            os.killpg(process.pid, signal.SIGKILL)
            self._wait_for_end(5)
        self.file.unlink(missing_ok=True)
        return True

    def _wait_for_end(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while self.process() is not None and time.monotonic() < limit:
            time.sleep(0.1)

    def last_words(self) -> str:
        """The last line of the log, and where the rest of it is."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        words = next((line.strip() for line in reversed(lines) if line.strip(" │╰╯─")), "nothing was logged")
        return f"{words} (more in {self.log})"


def settings(environment: Mapping[str, str]) -> str:
    """A digest of the variables that change what a run does; their values are not kept."""
    prefixes = ("OVERNIGHT_", "PREFECT_", "WANDB_", "HF_", "CUDA_")
    return digest({name: value for name, value in environment.items() if name.startswith(prefixes)})
