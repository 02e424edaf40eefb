"""The rating page over HTTP: what comes next, a thumb, a thumb taken back, and a rater's ratings as a file."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from apps.loopback import guard, json_object
from apps.rating.drawing import caption, drawn
from core.rating import Entry, Rating, read_rating
from core.store.rating_feedback import add_feedback, take_back
from core.store.rating_queue import Queue, choices, entry_named, next_entry, progress, vote_on, votes_of
from core.use_cases.widget_ratings.simulation import TAGS, UNSURE

STATIC = Path(__file__).parent / "static"
OF_WIDGETS = (*TAGS[True], *TAGS[False], UNSURE)
OF_WORDS = ("clear", "right", "wrong", "too-short", "too-long", UNSURE)
"""Tags of an answer in words; a rating with `UNSURE` does not count."""
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The page runs what it came with, talks to its own server, and is shown in no other page."""
Seen = dict[str, Any]


def rating_app(source: str) -> FastAPI:
    """The page of one source's entries."""
    app = FastAPI(title="Overnight: rating", docs_url=None, redoc_url=None)
    app.state.source = source
    guard(app)
    app.middleware("http")(own_page)
    app.get("/choices")(rated_choices)
    app.get("/next")(following)
    app.get("/entry")(named)
    app.get("/ratings")(all_ratings)
    app.post("/ratings")(rate)
    app.post("/ratings/undo")(undo)
    app.mount("/", StaticFiles(directory=STATIC, html=True))
    return app


async def own_page(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer this very page alone, and no other one in the browser, whatever it sends."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{request.headers.get('host')}":
        return JSONResponse({"detail": "another page's request: open the rating page itself"}, 403)
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


def rated_choices(request: Request) -> dict[str, list[str]]:
    """What the page can be narrowed to."""
    return dict(choices(request.app.state.source))


def following(
    request: Request,
    rater: str,
    *,
    scenario: str | None = None,
    widget: str | None = None,
    after: str | None = None,
    room: int = 760,
) -> Seen:
    """The next entry to rate behind another one, and how far its rater is."""
    queue = Queue(request.app.state.source, rater, scenario or None, widget or None)
    entry, done = next_entry(queue, after or None), progress(queue)
    return {
        "entry": None if entry is None else shown(entry, room),
        "rated": done.rated,
        "entries": done.entries,
    }


def named(request: Request, entry_id: str, room: int = 760) -> Seen:
    """One entry again."""
    entry = entry_named(request.app.state.source, entry_id)
    if entry is None:
        raise HTTPException(404, f"no entry has the id {entry_id[:80]!r}")
    return shown(entry, room)


async def rate(request: Request) -> Seen:
    """Keep a thumb, as an app's; it and what the same rater said before, so that it can be undone."""
    given = await json_object(request)
    return await run_in_threadpool(_rate, request.app.state.source, given)


async def undo(request: Request) -> dict[str, bool]:
    """Take a first thumb back; whether it was still there. One that replaced another is undone by rating as before."""
    rating = read_rating(await json_object(request), datetime.now(UTC))
    of = (request.app.state.source, rating.entry_id, rating.rater_id)
    return {"changed": await run_in_threadpool(take_back, *of, rating.rated_at)}


def all_ratings(request: Request, rater: str) -> Response:
    """A rater's ratings as seed 003's app writes them, for `ratings_file`."""
    ratings = {
        vote.entry_id: {"device_id": vote.rater_id, "updated_at": vote.rated_at} | _said(vote)
        for vote in votes_of(request.app.state.source, rater)
    }
    file = {"Content-Disposition": 'attachment; filename="ratings.json"'}
    return Response(orjson.dumps({"ratings": ratings}), media_type="application/json", headers=file)


def shown(entry: Entry, room: int) -> Seen:
    """An entry as the page shows it."""
    return {
        "entry_id": entry.entry_id,
        "question": entry.question if entry.response is None else entry.prompt or entry.question,
        "scenario": entry.scenario,
        "caption": caption(entry),
        "drawing": drawn(entry, room),
        "tags": OF_WIDGETS if entry.response is None else OF_WORDS,
    }


def _rate(source: str, given: Seen) -> Seen:
    now = datetime.now(UTC)
    rating = read_rating(given, now)
    before = vote_on(source, rating.entry_id, rating.rater_id)
    changed = add_feedback(source, given, now=now)
    return {
        "changed": changed,
        "rated_at": rating.rated_at,
        "before": None if before is None else _said(before),
    }


def _said(vote: Rating) -> Seen:
    return {
        "rating": vote.rating,
        "tags": orjson.loads(vote.tags),
        "notes": vote.notes,
        "model_version": vote.model_version,
    }
