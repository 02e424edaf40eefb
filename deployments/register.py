"""Tell a server what Overnight can do: the work pool, the deployments, the automations.

Nothing is written that has not changed: to deploy again is to throw away the scheduled runs and make new ones.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_HOME

from core.config import CONFIGS, ROOT, read_yaml
from core.errors import OvernightError, ServiceError
from core.files import digest, file_digest, write_text
from deployments.automations import register_automations
from deployments.pool import POOL
from deployments.runs import skip_missed

DEFINITIONS = ROOT / "prefect.yaml"


def register(*, fresh: bool) -> None:
    """Bring the server up to date; `fresh`: it has just been started. Raises: ServiceError."""
    with get_client(sync_client=True) as client:
        create_pool(client)
        if fresh and (missed := skip_missed(client)):
            print(f"Skipped {missed} scheduled run(s) whose hour passed while Overnight was down.")
        register_automations(client)
        if _changed(client):
            paused = [deployment.id for deployment in client.read_deployments() if deployment.paused]
            deploy()
            for deployment_id in paused:  # to deploy is to switch on; what a person switched off stays off
                client.pause_deployment(deployment_id)
            write_text(_mark(), fingerprint())
            print(f"Deployed {len(definitions())} deployments from {DEFINITIONS.name}.")


def create_pool(client: SyncPrefectClient) -> None:
    """The pool of runs that are processes of this machine."""
    try:
        client.create_work_pool(
            WorkPoolCreate(name=POOL, type="process", description="Processes on this machine.")
        )
    except ObjectAlreadyExists:
        return


def deploy(definitions: Path = DEFINITIONS) -> None:
    """What `prefect --no-prompt deploy --all` does, with one clear line when it fails. Raises: ServiceError."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        [*command, "--prefect-file", str(definitions)],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "500", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line.strip(" │╭╮╰╯─") for line in (done.stdout + done.stderr).splitlines()]
        words = next((line for line in reversed(lines) if line), "it said nothing")
        raise ServiceError(f"{definitions.name} can't be deployed: {words}")


def fingerprint() -> str:
    """What decides the deployments and the forms of their parameters, as one hash."""
    code = sorted(path for folder in ("core", "flows") for path in (ROOT / folder).rglob("*.py"))
    choices = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml"))
    return digest(str(ROOT), [file_digest(path) for path in (DEFINITIONS, *code)], choices)


def _changed(client: SyncPrefectClient) -> bool:
    wanted = {item["name"] for item in definitions()}
    known = {deployment.name for deployment in client.read_deployments()}
    mark = _mark()
    return not (wanted <= known and mark.is_file() and mark.read_text(encoding="utf-8") == fingerprint())


def definitions() -> list[dict[str, Any]]:
    """The deployments that prefect.yaml holds."""
    return list(read_yaml(DEFINITIONS)["deployments"])


def _mark() -> Path:
    """Beside the server's own database, so that they are deleted together."""
    return Path(PREFECT_HOME.value()) / "overnight-deployed.txt"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.register", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="the server has just been started")
    try:
        register(fresh=parser.parse_args().fresh)
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
