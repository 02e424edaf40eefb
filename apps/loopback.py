"""What the servers here share: this machine alone, JSON alone, and what is wrong told in the words in which it is told everywhere."""

import json
import socket
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse

from core.document import Unreadable
from core.errors import ConfigError, DataError, OvernightError, StorageError, StoreError
from core.value import LARGEST

HERE = ("127.0.0.1", "localhost")
"""What a client on this machine calls it: a page of a stranger, whatever its name resolves to, says another."""
LARGEST_BODY = LARGEST + 64 * 1024
"""Bytes of a request that are read."""


class TooLarge(Unreadable):
    """A body that is not read to its end."""

    def __init__(self) -> None:
        super().__init__("oversize", f"larger than {LARGEST_BODY:,} bytes: leave out what isn't needed")


STATUS: Mapping[type[OvernightError], int] = {
    TooLarge: 413,
    Unreadable: 422,
    DataError: 422,
    ConfigError: 404,
    StorageError: 507,
    StoreError: 503,
    OvernightError: 500,
}


def guard(app: FastAPI) -> None:
    """Let an app answer to this machine's names alone, and tell its errors."""
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HERE))
    app.add_exception_handler(OvernightError, _told)


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes any that is free. Raises: ConfigError for a port that is not to be had."""
    try:
        return socket.create_server((HERE[0], port))
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "no port"
        raise ConfigError(f"port {port} of {HERE[0]} can't be had ({why}): choose another one") from error


async def json_object(request: Request) -> dict[str, Any]:
    """The request's body. Raises: Unreadable when it is no JSON object or too large, HTTPException for another kind."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send JSON, with the header 'Content-Type: application/json'")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise TooLarge
    try:
        found = json.loads(body)
    except RecursionError as error:
        raise Unreadable("bad_json", "nested too deeply to be read") from error
    except ValueError as error:
        raise Unreadable("bad_json", f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable("bad_json", f"a JSON {type(found).__name__}: send an object with fields")
    return found


async def _told(_request: Request, error: Exception) -> JSONResponse:
    """What is wrong, in the words in which it is told everywhere."""
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    reason = {"reason": error.reason} if isinstance(error, Unreadable) else {}
    words = str(error).encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"detail": words} | reason, status_code=status)
