"""A server that speaks as vLLM does, over real HTTP."""

import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

STOP = 2


class Vllm(ThreadingHTTPServer):
    """Answers as vLLM does, from a rule; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[dict, str]] = []
        self.change: Callable[[dict], None] = lambda _: None
        self.refuse: tuple[int, str] | None = None
        self.processed = True
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, request: dict) -> dict:
        """Completion i has i + 1 tokens and the stop token, as far as max_tokens reaches."""
        choices = []
        for index in range(request["n"]):
            allowed = request.get("allowed_token_ids")
            tokens = (
                [20 + index] * (index + 1) + [STOP] if allowed is None else [allowed[index % len(allowed)]]
            )
            cut = tokens[: request["max_tokens"]]
            free = allowed is None or not self.processed
            value = -0.5 - request["seed"] % 7 if free else -math.log(len(allowed))
            choices.append(
                {
                    "index": index,
                    "text": "",
                    "finish_reason": "stop" if cut[-1] == STOP else "length",
                    "stop_reason": None,
                    "token_ids": cut,
                    "prompt_token_ids": request["prompt"],
                    "logprobs": {"token_logprobs": [value] * len(cut), "tokens": [""] * len(cut)},
                }
            )
        body = {
            "id": "c",
            "object": "text_completion",
            "created": 0,
            "model": request["model"],
            "choices": choices[::-1],
        }
        self.change(body)
        return body


class _Handler(BaseHTTPRequestHandler):
    server: Vllm

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((request, self.headers["Authorization"]))
        status, body = 200, None
        if self.path != "/v1/completions":
            status, body = 404, {"error": {"message": "no such path"}}
        elif self.server.refuse:
            status, body = self.server.refuse[0], {"error": {"message": self.server.refuse[1]}}
        text = json.dumps(body or self.server.answer(request)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Vllm]:
    """A server on a free port."""
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    one = Vllm()
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.shutdown()
    one.server_close()
