"""An app in another language records its decisions over HTTP: `python -m apps.recording --source desk`.

POST /decisions, POST /decisions/{id}/feedback, POST /ratings, GET /models/{use_case}/{slot}, GET /assignment. It listens on this machine
alone and takes `application/json` alone, which no page in a browser can send to it unasked.
"""

import argparse
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse

from apps.assignment import serve_assignments
from core.decision import LARGEST
from core.document import Unreadable
from core.errors import ConfigError, DataError, OvernightError, StorageError, StoreError, one_line
from core.experiment import Experiments, load_experiments
from core.recording.recorder import Recorder, Redact
from core.store.current import CurrentModel, current_model
from core.store.migrate import migrate
from core.store.rating_feedback import add_feedback

PORT = 4280
HERE = ("127.0.0.1", "localhost")
"""What a client on this machine calls it: a page of a stranger, whatever its name resolves to, says another."""
LARGEST_BODY = LARGEST + 64 * 1024
"""Bytes of a request that are read."""
ACCEPTED = 202
STATUS: Mapping[type[OvernightError], int] = {
    Unreadable: 422,
    DataError: 422,
    ConfigError: 404,
    StorageError: 507,
    StoreError: 503,
    OvernightError: 500,
}


def recording_app(
    source: str, redact: Redact | None = None, experiments: Experiments | None = None
) -> FastAPI:
    """The endpoint of one app; what it takes lies under the name of its source."""

    @asynccontextmanager
    async def recording(app: FastAPI) -> AsyncIterator[None]:
        recorder = app.state.recorder = Recorder(source, redact=redact)
        yield
        await run_in_threadpool(recorder.close)

    app = FastAPI(title="Overnight: recording", lifespan=recording)
    app.state.rated = source, redact or dict
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HERE))
    app.add_exception_handler(OvernightError, _told)
    app.post("/decisions", status_code=ACCEPTED)(record_decision)
    app.post("/decisions/{external_id:path}/feedback", status_code=ACCEPTED)(record_feedback)
    app.post("/ratings")(record_rating)
    app.get("/models/{use_case}/{slot}")(model_in_use)
    serve_assignments(app, experiments or Experiments())
    return app


async def record_decision(request: Request) -> dict[str, str]:
    """Keep a decision; its id. It is on the disk when the answer comes."""
    decision = await _json_object(request)
    return {"id": await run_in_threadpool(request.app.state.recorder.record_decision, decision)}


async def record_feedback(external_id: str, request: Request) -> dict[str, str]:
    """Keep what became known of a decision, which may come later than this."""
    feedback = await _json_object(request)
    await run_in_threadpool(request.app.state.recorder.record_feedback, external_id, feedback)
    return {"id": external_id}


async def record_rating(request: Request) -> dict[str, bool]:
    """Keep a thumb, and what was rated where it says so; whether that changed anything. It is in the store when the answer comes."""
    source, redact = request.app.state.rated
    rating = dict(redact(await _json_object(request)))
    return {"changed": await run_in_threadpool(add_feedback, source, rating)}


def model_in_use(use_case: str, slot: str, preset: str = "default") -> CurrentModel:
    """Which model to use; its `version` belongs into every decision that it makes."""
    return current_model(use_case, slot, preset=preset)


async def _json_object(request: Request) -> dict[str, Any]:
    """The request's body, as far as it is a JSON object of a decent size."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send JSON, with the header 'Content-Type: application/json'")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HTTPException(
                413, f"larger than {LARGEST_BODY:,} bytes: leave out what a decision doesn't need"
            )
    try:
        found = json.loads(body)
    except RecursionError as error:
        raise HTTPException(422, "nested too deeply to be read") from error
    except ValueError as error:
        raise HTTPException(422, f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise HTTPException(
            422, f"a JSON {type(found).__name__}: send an object with the fields of a decision"
        )
    return found


async def _told(_request: Request, error: Exception) -> JSONResponse:
    """What is wrong, in the words in which it is told everywhere."""
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    reason = {"reason": error.reason} if isinstance(error, Unreadable) else {}
    words = str(error).encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"detail": words} | reason, status_code=status)


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
    asked = parser.parse_args()
    try:
        redact = _imported(asked.redact) if asked.redact else None
        experiments = load_experiments(asked.experiments) if asked.experiments else None
        app = recording_app(asked.source, redact, experiments)
        with suppress(StoreError):  # what is recorded waits for the store
            migrate()
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    uvicorn.run(app, host=HERE[0], port=asked.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
