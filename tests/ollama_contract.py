"""An Ollama server for tests, as strict as the real one and stricter: every request must keep to the contract.

Written from ollama/ollama (server/routes.go and types/model/name.go of 0.33, server/create.go of 0.33 and 0.34). What no client of ours
may do although Ollama allows it (send a file again, move a name to what nobody tried) is a violation; tests ask for none.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

from core.exporting.go_template import render_go
from core.exporting.serving import PARAMETERS

DIGEST = re.compile(r"sha256[:-][0-9a-f]{64}")
NAME = re.compile(r"(?:[A-Za-z0-9_][\w-]{0,79}/)?[A-Za-z0-9_][\w.-]{0,79}:[A-Za-z0-9_][\w.-]{0,79}", re.ASCII)
CREATE = {"model", "files", "template", "parameters", "system", "parser", "stream"}
FILE_TEMPLATE = "{% the file's own %}"
Engine = Callable[[Path, str, dict[str, Any]], tuple[str, dict[str, float] | None]]


class RefusedError(Exception):
    """A status and what Ollama would say."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(status, said)


class DeadError(Exception):
    """The process is gone in the middle of an answer."""


class Contract:
    """What the server holds, what it was asked, and what it is told to do wrong."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.root, self.url = root, ""
        self.models: dict[str, dict[str, Any]] = {}
        self.log: list[tuple[str, str]] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.violations: list[str] = []
        self.asked: set[str] = set()
        self.tried: dict[str, set[str]] = {}
        self.engine: Engine = lambda _blob, _prompt, _options: (" A", {" A": -0.1, " B": -3.0})
        self.wrong: str | None = None
        """What goes wrong: a step's name, or 'dies at' one."""
        self.own_rendering: Callable[[list[dict[str, str]]], str] = lambda _messages: ""
        """What a file's own template makes of a conversation."""
        self.tells_rendering = True
        self.prefers_file_template = False

    def blob(self, digest: str) -> Path:
        """Where a digest's bytes lie."""
        return self.root / digest.replace(":", "-")

    def use_llama_cpp(self) -> None:
        """Let the files themselves answer."""
        self.engine = llama_cpp

    def need(self, kept: bool, said: str) -> None:
        """What Ollama would let pass, and we may not do."""
        if not kept:
            self.violations.append(said)

    def head(self, digest: str) -> None:
        """Whether a blob is here."""
        if not DIGEST.fullmatch(digest):
            raise RefusedError(400, "invalid digest format")
        self.asked.add(digest)
        if not self.blob(digest).exists():
            raise RefusedError(404, "blob not found")

    def take(self, digest: str, chunks: Iterator[bytes]) -> int:
        """A blob's bytes, their digest computed again."""
        self.need(digest in self.asked, f"{digest} was sent and not asked for before")
        self.need(not self.blob(digest).exists(), f"{digest} was sent a second time")
        content = b"".join(chunks)
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if found != digest:
            raise RefusedError(400, f'digest mismatch, expected "{digest}", got "{found}"')
        self.blob(digest).write_bytes(content)
        return 201

    def create(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A model of blobs that are here, as a stream of what is done."""
        self._check_create(asked)
        yield {"status": "parsing GGUF"}
        if self.wrong == "dies at create":
            raise DeadError
        if self.wrong == "create":
            yield {"error": "llama-quantize: the file is broken"}
            return
        if self.wrong == "create ends early":
            return
        self.models[full(asked["model"])] = asked
        yield {"status": "writing manifest"}
        yield {"status": "success"}

    def _check_create(self, asked: dict[str, Any]) -> None:
        if unknown := set(asked) - CREATE:
            raise RefusedError(400, f"{', '.join(sorted(unknown))}: not supported")
        if not NAME.fullmatch(full(asked["model"])):
            raise RefusedError(400, "invalid model name")
        for path, digest in asked["files"].items():
            if PurePosixPath(path).is_absolute() or ".." in path.split("/") or path.startswith("./"):
                raise RefusedError(400, "file path must be relative")
            if not DIGEST.fullmatch(digest) or not self.blob(digest).exists():
                raise RefusedError(400, f"blob not found for {path}")
            if self.blob(digest).read_bytes()[:4] != b"GGUF":
                raise RefusedError(400, "supplied file was not in GGUF format")
        parameters = asked["parameters"]
        if unknown := set(parameters) - {*PARAMETERS, "stop"}:
            raise RefusedError(400, f"unknown parameter {unknown}")
        if not all(isinstance(text, str) and text for text in parameters["stop"]):
            raise RefusedError(400, "stop is a list of texts")

    def show(self, name: str) -> dict[str, Any]:
        """A model as it is used."""
        asked = self.held(name)
        self.tried.setdefault(full(name), set()).add("show")
        stops = asked["parameters"]["stop"][1 if self.wrong == "show" else 0 :]
        lines = [f"{'stop':<30} {json.dumps(text)}" for text in stops]
        return {"template": self.template(asked), "parameters": "\n".join(lines), "model_info": {}}

    def template(self, asked: dict[str, Any]) -> str:
        """A file's own template wins where it can do more than the Go template, unless a parser says otherwise."""
        if "template" not in asked or (self.prefers_file_template and "parser" not in asked):
            return FILE_TEMPLATE
        return asked["template"]

    def generate(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One answer."""
        model = self.held(asked["model"])
        tried = self.tried.setdefault(full(asked["model"]), set())
        self.need("show" in tried, f"{asked['model']} was asked before it was looked at")
        if self.wrong == "dies at generate":
            raise DeadError
        if asked.get("_debug_render_only"):
            return self.rendering(model, asked["prompt"])
        options = asked["options"]
        self.need(asked.get("raw") is True, "a check that is not raw")
        self.need(
            options["temperature"] == 0 and 0 < options["num_predict"] <= 16, "a check that is random or long"
        )
        tried.add("generate")
        (digest,) = model["files"].values()
        text, logprobs = self.engine(self.blob(digest), asked["prompt"], options)
        answer: dict[str, Any] = {"model": asked["model"], "response": text, "done": True}
        if logprobs and asked.get("logprobs"):
            best = max(logprobs, key=lambda token: logprobs[token])
            top = [{"token": token, "logprob": value} for token, value in logprobs.items()]
            answer["logprobs"] = [
                {"token": best, "logprob": logprobs[best], "top_logprobs": top[: asked["top_logprobs"]]}
            ]
        return answer

    def rendering(self, model: dict[str, Any], prompt: str) -> dict[str, Any]:
        """How a user's text is put."""
        if not self.tells_rendering:
            return {"response": "x", "done": True}
        if self.wrong == "rendering":
            return {"_debug_info": {"rendered_template": f"<|im_start|>user\n{prompt}"}}
        messages = [{"role": "user", "content": prompt}]
        if "system" in model:
            messages.insert(0, {"role": "system", "content": model["system"]})
        template = self.template(model)
        text = self.own_rendering(messages) if template == FILE_TEMPLATE else render_go(template, messages)
        return {"_debug_info": {"rendered_template": text}}

    def copy(self, source: str, target: str) -> None:
        """A second name."""
        if not NAME.fullmatch(full(target)):
            raise RefusedError(400, f"destination {target!r} is invalid")
        model = self.held(source)
        if full(source) not in {name for name in self.models if name.endswith((":latest", ":previous"))}:
            self.need(
                self.tried.get(full(source)) == {"show", "generate"},
                f"{source} is served and nobody tried it",
            )
        if self.wrong == f"copy to {full(target)}":
            raise RefusedError(500, "no space left on device")
        self.models[full(target)] = model

    def delete(self, name: str) -> None:
        """A name goes, what it stood for stays with the others."""
        self.held(name)
        del self.models[full(name)]

    def held(self, name: str) -> dict[str, Any]:
        """What a name stands for."""
        if full(name) not in self.models:
            raise RefusedError(404, f"model '{name}' not found")
        return self.models[full(name)]

    def tags(self) -> dict[str, Any]:
        """A name's digest is that of its manifest: a copy has its original's."""
        rows = [
            {"name": name, "model": name, "digest": hashlib.sha256(_canonical(asked)).hexdigest()}
            for name, asked in self.models.items()
        ]
        return {"models": rows}


def llama_cpp(blob: Path, prompt: str, options: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """An engine that really reads the file."""
    from llama_cpp import Llama  # noqa: PLC0415  (seconds to import, and few tests need it)

    model = Llama(str(blob), n_ctx=512, n_threads=1, logits_all=True, verbose=False)
    asked = {"max_tokens": options["num_predict"], "stop": options["stop"], "temperature": 0, "logprobs": 5}
    found = model.create_completion(prompt, **asked)["choices"][0]
    model.close()
    first = found["logprobs"]["top_logprobs"][0]
    return found["text"], {token: float(value) for token, value in first.items()}


def full(name: str) -> str:
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def _canonical(asked: dict[str, Any]) -> bytes:
    return json.dumps({key: asked[key] for key in asked if key != "model"}, sort_keys=True).encode()


class Handler(BaseHTTPRequestHandler):
    """Ollama's routes."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Blobs."""
        self._answer(lambda contract: contract.head(self._digest()))

    def do_GET(self) -> None:
        """The models."""
        self._answer(lambda contract: contract.tags())

    def do_DELETE(self) -> None:
        """A name goes."""
        self._answer(lambda contract: contract.delete(self._json()["model"]))

    def do_POST(self) -> None:
        """All that changes something, and answers."""
        if self.path.startswith("/api/blobs/"):
            self._answer(lambda contract: contract.take(self._digest(), self._chunks()))
        elif self.path == "/api/create":
            self._answer(lambda contract: contract.create(self._json()))
        elif self.path == "/api/show":
            self._answer(lambda contract: contract.show(self._json()["model"]))
        elif self.path == "/api/generate":
            self._answer(lambda contract: contract.generate(self._json()))
        elif self.path == "/api/copy":
            self._answer(lambda contract: contract.copy(self._json()["source"], self._body["destination"]))

    def _answer(self, work: Callable[[Contract], Any]) -> None:
        contract: Contract = self.server.contract  # type: ignore[attr-defined]
        contract.log.append((self.command, self.path.split("sha256")[0]))
        try:
            found = work(contract)
            if isinstance(found, Iterator):
                self._stream(found)
            elif isinstance(found, int):
                self._send(found, b"")
            else:
                self._send(200, b"" if found is None else json.dumps(found).encode())
        except RefusedError as refusal:
            status, said = refusal.args
            self._send(status, json.dumps({"error": said}).encode())
        except DeadError:
            self._die()

    def _stream(self, lines: Iterator[dict[str, Any]]) -> None:
        """What goes wrong before the first line has a status of its own; later it is a line."""
        first = next(lines)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in (first, *lines):
            content = json.dumps(line).encode() + b"\n"
            self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def _die(self) -> None:
        self.close_connection = True
        threading.Thread(target=self.server.shutdown).start()
        self.server.socket.close()
        self.connection.close()

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _digest(self) -> str:
        return self.path.rsplit("/", 1)[1]

    def _json(self) -> dict[str, Any]:
        self._body = json.loads(b"".join(self._chunks()))
        self.server.contract.requests.append((self.path, self._body))  # type: ignore[attr-defined]
        return self._body

    def _chunks(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


@contextmanager
def serve(root: Path) -> Iterator[Contract]:
    """A server on a port of its own; no request of the test may have broken the contract."""
    contract = Contract(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.contract = contract  # type: ignore[attr-defined]
    contract.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield contract
    server.shutdown()
    server.server_close()
    assert contract.violations == []
