"""An app in another language records its decisions over HTTP: `python -m apps.recording --source office`.

POST /decisions, POST /decisions/{id}/feedback, POST /ratings, GET /status (of learning from ratings), GET /models/{use_case}/{slot},
GET /assignment. It listens on this machine alone and takes `application/json` alone, which no page in a browser can send to it
unasked.
"""

import argparse
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from apps.assignment import serve_assignments
from apps.loopback import HERE, guard, json_object, listen
from apps.online import serve_status
from core.document import Unreadable
from core.errors import ConfigError, OvernightError, StoreError, one_line
from core.experiment import Experiments, load_experiments
from core.recording.recorder import Recorder, Redact, redacted
from core.store.current import CurrentModel, current_model
from core.store.migrate import migrate
from core.store.rating_feedback import add_feedback

PORT = 4280
ACCEPTED = 202


def recording_app(
    source: str,
    redact: Redact | None = None,
    experiments: Experiments | None = None,
    overrides: dict[str, Any] | None = None,
) -> FastAPI:
    """The endpoint of one app; what it takes lies under the name of its source.

    `overrides` are those by which its ratings are learnt from. Raises: ConfigError.
    """

    @asynccontextmanager
    async def recording(app: FastAPI) -> AsyncIterator[None]:
        recorder = app.state.recorder = Recorder(source, redact=redact)
        yield
        await run_in_threadpool(recorder.close)

    app = FastAPI(title="Overnight: recording", lifespan=recording)
    app.state.rated = source, redact
    guard(app)
    app.post("/decisions", status_code=ACCEPTED)(record_decision)
    app.post("/decisions/{external_id:path}/feedback", status_code=ACCEPTED)(record_feedback)
    app.post("/ratings")(record_rating)
    app.get("/models/{use_case}/{slot}")(model_in_use)
    serve_status(app, source, overrides)
    serve_assignments(app, experiments or Experiments())
    return app


async def record_decision(request: Request) -> dict[str, str]:
    """Keep a decision; its id. It is on the disk when the answer comes."""
    decision = await _given(request)
    return {"id": await run_in_threadpool(request.app.state.recorder.record_decision, decision)}


async def record_feedback(external_id: str, request: Request) -> dict[str, str]:
    """Keep what became known of a decision, which may come later than this."""
    feedback = await _given(request)
    await run_in_threadpool(request.app.state.recorder.record_feedback, external_id, feedback)
    return {"id": external_id}


async def _given(request: Request) -> dict[str, Any]:
    """What was sent; what can't be read is counted among the rows set aside."""
    try:
        return await json_object(request)
    except Unreadable as why:
        await run_in_threadpool(request.app.state.recorder.refuse, why)
        raise


async def record_rating(request: Request) -> dict[str, bool]:
    """Keep a thumb, and what was rated where it says so; whether that changed anything. It is in the store when the answer comes."""
    source, redact = request.app.state.rated
    rating = redacted(redact, await json_object(request))
    return {"changed": await run_in_threadpool(add_feedback, source, rating)}


def model_in_use(use_case: str, slot: str, preset: str = "default") -> CurrentModel:
    """Which model to use; its `version` belongs into every decision that it makes."""
    return current_model(use_case, slot, preset=preset)


def _imported(path: str) -> Redact:
    """The function that takes personal data out. Raises: ConfigError."""
    module, _, name = path.partition(":")
    try:
        function: Redact = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"--redact {path} can't be imported ({one_line(error)}): give package.module:function of something installed "
            "where this runs"
        ) from error
    if not callable(function):
        raise ConfigError(f"--redact {path} is {type(function).__name__}: name a function of a mapping")
    return function


def _overrides(words: str | None) -> dict[str, Any] | None:
    """Settings by dotted key. Raises: ConfigError."""
    try:
        found = json.loads(words) if words else None
    except ValueError:
        found = words
    if found is not None and not isinstance(found, dict):
        raise ConfigError(f'--overrides {words} is no JSON object: write {{"online.enabled": true}}')
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m apps.recording", description=__doc__)
    parser.add_argument("--source", default="app", help="under which name the app's decisions are kept")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument(
        "--redact", help="package.module:function that takes personal data out of what is recorded"
    )
    parser.add_argument(
        "--experiments", type=Path, help="a YAML file of experiments, for GET /assignment", metavar="FILE"
    )
    parser.add_argument(
        "--overrides",
        help="the settings of the deployment that learns from the ratings, as it has them, for GET /status",
        metavar="JSON",
    )
    asked = parser.parse_args()
    try:
        redact = _imported(asked.redact) if asked.redact else None
        experiments = load_experiments(asked.experiments) if asked.experiments else None
        app = recording_app(asked.source, redact, experiments, _overrides(asked.overrides))
        with suppress(StoreError):  # what is recorded waits for the store
            migrate()
        listening = listen(asked.port)
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    address = f"http://{HERE[0]}:{listening.getsockname()[1]}"
    print(f"Recording for the source '{asked.source}' at {address}; Ctrl-C ends it.", flush=True)
    uvicorn.run(app, fd=listening.fileno(), log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
