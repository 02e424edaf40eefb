"""Where the local server is to be found, and the environment in which everything talks to it.

`prefect.toml` names the usual port; OVERNIGHT_PORT (or PREFECT_SERVER_API_PORT) chooses another.
"""

import http.client
import os
import socket
import tomllib
from base64 import b64encode
from dataclasses import dataclass

import psutil

from core.config import ROOT
from core.errors import ConfigError, ServiceError
from core.files import data_folder

HOST = "127.0.0.1"
PORT_VARIABLES = ("OVERNIGHT_PORT", "PREFECT_SERVER_API_PORT")

# A profile, a key or an address of another Prefect must not reach into this one.
FOREIGN = (
    "OVERNIGHT_PORT",  # PREFECT_SERVER_API_PORT carries it
    "PREFECT_API_KEY",
    "PREFECT_API_URL",
    "PREFECT_PROFILE",
    "PREFECT_PROFILES_PATH",
    "PREFECT_SERVER_UI_API_URL",
    "PREFECT_SERVER_UI_SERVE_BASE",
    "PREFECT_UI_API_URL",
    "PREFECT_UI_SERVE_BASE",
    "PREFECT_UI_URL",
)


@dataclass(frozen=True, slots=True)
class Address:
    """A Prefect server on loopback."""

    port: int

    @property
    def ui(self) -> str:
        """The pages for a browser."""
        return f"http://{HOST}:{self.port}"

    @property
    def api(self) -> str:
        """What PREFECT_API_URL holds."""
        return f"{self.ui}/api"

    @property
    def usual(self) -> bool:
        """Whether prefect.toml names it, so that a second terminal needs no export."""
        return self.port == usual_port()

    def prefix(self) -> str:
        """What a command typed in the repository needs before it to reach this server."""
        return "" if self.usual else f"PREFECT_API_URL={self.api} "

    def get(self, path: str, body: str | None = None, timeout: float = 5) -> tuple[int, bytes]:
        """One request to the API, past any proxy; status 0 when nobody answers."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        headers = {"Content-Type": "application/json"} | _authorization()
        try:
            connection.request("GET" if body is None else "POST", f"/api{path}", body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def healthy(self) -> bool:
        """Whether a Prefect server answers here."""
        return self.get("/health") == (200, b"true")

    def environment(self) -> dict[str, str]:
        """The environment of the server, the worker and all that calls them: loopback, its own
        PREFECT_HOME (the user's profile is not touched), and nothing reported to anyone.
        """
        inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        if auth := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
            inherited.setdefault("PREFECT_API_AUTH_STRING", auth)
        origins = f"{self.ui},http://localhost:{self.port}"  # no other page in the browser may call the API
        proxied = os.environ.get("NO_PROXY") or os.environ.get("no_proxy", "")
        no_proxy = ",".join(filter(None, (proxied, HOST, "localhost")))
        return inherited | {
            "DO_NOT_TRACK": os.environ.get("DO_NOT_TRACK") or "1",
            # Training shares its cores with the server: a thread that waits must sleep, not spin.
            "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT") or "0",
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "PREFECT_API_URL": self.api,
            "PREFECT_HOME": str(data_folder() / "prefect"),
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": origins,
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
        }


def usual_port() -> int:
    """The port that prefect.toml names."""
    settings = tomllib.loads((ROOT / "prefect.toml").read_text(encoding="utf-8"))
    return int(settings["server"]["api"]["port"])


def chosen_port() -> int | None:
    """The port that the environment asks for, None when it doesn't. Raises: ConfigError."""
    for variable in PORT_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdecimal() and 0 < int(value) < 65536:
            return int(value)
        if value:
            raise ConfigError(f"{variable}={value} is no port: give a number from 1024 to 65535")
    return None


def need_free(port: int) -> None:
    """Refuse a port that somebody else listens on. Raises: ServiceError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise ServiceError(
                f"port {port} is not for this user: choose one above 1023, OVERNIGHT_PORT={port + 8000}"
            ) from error
        except OSError as error:
            raise ServiceError(
                f"port {port} of {HOST} is in use by {holder(port)}: stop that, or choose another port for "
                f"Overnight, OVERNIGHT_PORT={port + 100} make demo"
            ) from error


def holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    for process in psutil.process_iter(["name", "username", "cmdline"]):
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in connections):
            server = " prefect server" in " ".join(process.info["cmdline"] or [])
            name = "another Prefect server" if server else process.info["name"]
            return f"{name} (process {process.pid}, user {process.info['username']})"
    return "another program"


def _authorization() -> dict[str, str]:
    auth = os.environ.get("PREFECT_API_AUTH_STRING") or os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    return {"Authorization": "Basic " + b64encode(auth.encode()).decode()} if auth else {}
