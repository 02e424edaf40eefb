"""An Ollama server through its own client, and what its client leaves out: a blob is asked for before it is sent.

Read in ollama/ollama (server/routes.go of 0.33, server/create.go of 0.33 and 0.34): since 0.34.1 adapters, `quantize` and `modelfile`
are refused, and a file is created from blobs alone. An error may come inside a stream that began as a success.
"""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import ollama

from core.errors import ConfigError, ExportError, ServiceError, one_line
from core.exporting.results import Modelfile
from core.exporting.serving import PASSED_ON
from core.files import file_digest

LATEST = "latest"
_GONE = 404
_PASSING = (502, 503, 504)
_ABSENT = (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout)
_TOKENS = 8
_SHOWN = 5
"""Alternatives to the first token that are asked for."""
_UNLOAD = 0
"""A candidate leaves the memory at once: the model that is served needs it."""


class OllamaServer:
    """One server; close it. Every call may raise ServiceError (it is gone, or broke off) and ExportError (it refuses)."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Raises: ConfigError for an address that is none."""
        self.url = url
        try:
            self._client = _Client(url, timeout=timeout_s)
        except (ValueError, httpx.InvalidURL) as error:
            raise ConfigError(
                f"'{url}' is no address of an Ollama server ({one_line(error)}): correct release.ollama.url or OLLAMA_HOST"
            ) from error

    def answers(self) -> bool:
        """Whether anything listens there."""
        try:
            self._client.list()
        except _ABSENT:
            return False
        except (ollama.ResponseError, httpx.HTTPError, ValueError, TypeError):
            return True  # the next call says what is wrong
        return True

    def models(self) -> dict[str, str]:
        """The digests of what the server holds, by full name: equal digests are the same model, asked alike."""
        with self._translated("list its models"):
            found = self._client.list().models
        return {row.model: row.digest for row in found if row.model and row.digest}

    def upload(self, file: Path, sha256: str) -> bool:
        """Give a file to the server, unless it holds it already; whether it was sent.

        Raises: ExportError when the file is not the one that was checked.
        """
        blob = f"sha256:{sha256}"
        with self._translated(f"take {file.name}"):
            if self._client.has_blob(blob):
                return False
        if file_digest(file) != sha256:
            raise ExportError(f"{file} was changed after it was checked: release it again")
        with self._translated(f"take {file.name}"):
            self._client.create_blob(file)
        return True

    def create(self, name: str, modelfile: Modelfile) -> None:
        """Make a model of an uploaded file."""
        with self._translated(f"create {name}"):
            last = self._client.create_from_file(name, modelfile)
        if last != "success":
            raise ServiceError(f"Ollama at {self.url} broke off while it created {name} (last word: {last})")

    def shown(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The template that the server uses, and its stop texts."""
        with self._translated(f"show {name}"):
            found = self._client.show(name)
        return found.template or "", _stops(found.parameters or "")

    def rendered(self, name: str, prompt: str) -> str | None:
        """How the server puts a user's text to the model; None where it doesn't tell."""
        with self._translated(f"render a prompt of {name}"):
            return self._client.rendered(name, prompt)

    def first_token(self, name: str, prompt: str) -> tuple[str, dict[str, float]]:
        """What a model answers to a raw prompt, and the log-probabilities of its first tokens; none where it gives none."""
        with self._translated(f"generate with {name}"):
            found = self._client.generate(
                model=name,
                prompt=prompt,
                raw=True,
                logprobs=True,
                top_logprobs=_SHOWN,
                keep_alive=_UNLOAD,
                options={"temperature": 0, "num_predict": _TOKENS, "seed": 0, "stop": []},
            )
        if not found.done:
            raise ServiceError(f"Ollama at {self.url} broke off while it generated with {name}")
        first = next(iter(found.logprobs or ()), None)
        told = [first, *(first.top_logprobs or ())] if first else []
        return found.response or "", {row.token: row.logprob for row in told}

    def copy(self, source: str, target: str) -> None:
        """Let a name stand for what another stands for, in one request."""
        with self._translated(f"copy {source} to {target}"):
            self._client.copy(source, target)

    def delete(self, name: str) -> None:
        """Take a name away; one that is not there is as good."""
        try:
            with self._translated(f"delete {name}"):
                self._client.delete(name)
        except _MissingError:
            return

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except _ABSENT as error:
            raise ServiceError(
                f"no Ollama answers at {self.url}, which was to {what} ({one_line(error)}): start it, or correct "
                "release.ollama.url or OLLAMA_HOST"
            ) from error
        except httpx.TransportError as error:
            raise ServiceError(
                f"Ollama at {self.url} broke off when it was to {what} ({one_line(error)}): look at its log, or raise "
                "release.ollama.timeout_s"
            ) from error
        except ollama.ResponseError as error:
            raise self._refusal(what, error) from error
        except (ValueError, TypeError, httpx.HTTPError) as error:
            raise ExportError(
                f"what answers at {self.url} is no Ollama server ({one_line(error)}): correct release.ollama.url or OLLAMA_HOST"
            ) from error

    def _refusal(self, what: str, error: ollama.ResponseError) -> ExportError | ServiceError:
        said = f"Ollama at {self.url} refuses to {what}: {one_line(error)}"
        if error.status_code in _PASSING:
            return ServiceError(said)
        return _MissingError(said) if error.status_code == _GONE else ExportError(said)


class _MissingError(ExportError):
    """The server knows no such name."""


class _Client(ollama.Client):
    """The client's own connection, with the three requests it has no words for."""

    def has_blob(self, digest: str) -> bool:
        try:
            self._request_raw("HEAD", f"/api/blobs/{digest}")
        except ollama.ResponseError as error:
            if error.status_code != _GONE:
                raise
            return False
        return True

    def create_from_file(self, name: str, modelfile: Modelfile) -> str | None:
        """The last status. The client's own `create` has no parser, without which some raw models are asked as a chat."""
        last = None
        for step in self._request(
            ollama.ProgressResponse, "POST", "/api/create", json=_request(name, modelfile), stream=True
        ):
            last = step.status
        return last

    def rendered(self, name: str, prompt: str) -> str | None:
        asked = {"model": name, "prompt": prompt, "stream": False, "options": {"num_predict": 1}}
        found = self._request_raw("POST", "/api/generate", json={**asked, "_debug_render_only": True}).json()
        return (found.get("_debug_info") or {}).get("rendered_template")


def _request(name: str, modelfile: Modelfile) -> dict[str, Any]:
    """What `/api/create` is told: a relative file name, and only fields that every version takes."""
    asked: dict[str, Any] = {
        "model": name,
        "files": {modelfile.file: f"sha256:{modelfile.sha256}"},
        "parameters": {**modelfile.parameters, "stop": list(modelfile.stop)},
        "stream": True,
    }
    if modelfile.template is not None:
        asked["template"] = modelfile.template
        if modelfile.ask == "raw":
            asked["parser"] = PASSED_ON
    if modelfile.system:
        asked["system"] = modelfile.system
    return asked


def _stops(parameters: str) -> tuple[str, ...]:
    """The stop texts among the parameters as Ollama shows them: a name, spaces, a Go literal."""
    lines = (line.split(None, 1) for line in parameters.splitlines())
    return tuple(_literal(line[1]) for line in lines if len(line) == 2 and line[0] == "stop")


def _literal(text: str) -> str:
    try:
        return str(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError):
        return text.strip()
