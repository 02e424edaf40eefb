"""A released GGUF file at an Ollama server: a candidate under its digest, checked; then the served name, in one step.

What is served is never touched by what may fail: a candidate has a name of its own, loses it again when anything is wrong
with it, and the served name is copied from it last. The model before stays under `<name>:previous`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from core.errors import ExportError, OvernightError
from core.exporting.aliases import releases_folder
from core.exporting.ollama_server import LATEST, OllamaServer
from core.exporting.publish import MANIFEST
from core.exporting.results import Modelfile, Published, Registration, Release, Served
from core.exporting.serving import OllamaSettings
from core.files import locked
from core.promotion import ReleaseCheck

SHORT = 12
"""Letters of a file's digest in a candidate's name."""
PREVIOUS = "previous"
_TOO_OLD = "take a newer Ollama (0.33 was read)"
NEAR_TIE = 1.0
"""Nats that the merged model's first token may lie behind the server's own: rounding turns ties, a level like q3_k_m more."""


def candidate_name(name: str, sha256: str) -> str:
    """What a file is called at the server before, and while, it is served."""
    return f"{name}:{sha256[:SHORT]}"


def register(release: Release, settings: OllamaSettings, name: str) -> Registration:
    """Make a candidate of a release's GGUF file, and check that it is asked and answers as it should.

    Without a server, or without a file, that is 'not verified' and no failure.
    Raises: ExportError when the server refuses it or serves it otherwise (the candidate is gone again), ServiceError.
    """
    kept = Registration(check=ReleaseCheck.NOT_VERIFIED, reason="", url=settings.address, served_name=name)
    folder = release.folder("gguf")
    if release.modelfile is None or folder is None:
        return kept.model_copy(update={"reason": "no GGUF file was released"})
    with OllamaServer(settings.address, settings.timeout_s) as server:
        if not server.answers():
            return kept.model_copy(update={"reason": f"no Ollama at {settings.address}"})
        candidate = candidate_name(name, release.modelfile.sha256)
        compared = _registered(server, candidate, Path(folder), release.modelfile)
    return kept.model_copy(
        update={
            "check": ReleaseCheck.VERIFIED,
            "reason": f"registered as {candidate}",
            "candidate": candidate,
            "compared": compared,
        }
    )


def is_registered(registration: Registration | None, settings: OllamaSettings) -> bool:
    """Whether a candidate that was found good is still at its server. Raises: as `register`."""
    if registration is None or registration.candidate is None:
        return False
    with OllamaServer(settings.address, settings.timeout_s) as server:
        return server.answers() and registration.candidate in server.models()


def deploy(settings: OllamaSettings, name: str, candidate: str) -> Served:
    """Let the served name stand for a candidate, in one step; what it stood for stays under `previous`.

    The same again changes nothing. Raises: ExportError when the server lacks the candidate; ServiceError.
    """
    with _held(settings, name) as server:
        known, served = server.models(), f"{name}:{LATEST}"
        if candidate not in known:
            raise ExportError(_unknown(settings.address, name, candidate, known))
        moved = known.get(served) != known[candidate]
        if moved and served in known:
            server.copy(served, f"{name}:{PREVIOUS}")
        if moved:
            server.copy(candidate, served)
        kept = f"{name}:{PREVIOUS}" if (moved and served in known) or f"{name}:{PREVIOUS}" in known else None
    return Served(name=name, url=settings.address, model=candidate, moved=moved, previous=kept)


def roll_back(settings: OllamaSettings, name: str) -> Served:
    """Let the served name stand for the model before again, in one step; again changes nothing.

    Raises: ExportError when there is none; ServiceError.
    """
    previous = f"{name}:{PREVIOUS}"
    with _held(settings, name) as server:
        known = server.models()
        if previous not in known:
            raise ExportError(
                f"Ollama at {settings.address} has no {previous}: {name} was never moved, so there is nothing to go back to"
            )
        moved = known.get(f"{name}:{LATEST}") != known[previous]
        if moved:
            server.copy(previous, f"{name}:{LATEST}")
    return Served(name=name, url=settings.address, model=previous, moved=moved, previous=previous)


def released_candidate(
    published: Published, settings: OllamaSettings, levels: tuple[str, ...], name: str
) -> str:
    """The candidate's name of a published GGUF folder: the file of the level that is served.

    Raises: ExportError when the folder is gone, or has no such file.
    """
    served_first = settings.served_first(levels)
    try:
        files = json.loads((Path(published.path) / MANIFEST).read_text(encoding="utf-8"))["files"]
        sha256 = next(
            entry["sha256"]
            for level in served_first
            for file, entry in files.items()
            if file.endswith(f"-{level}.gguf")
        )
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise ExportError(
            f"{published.path} holds no GGUF file of level {' or '.join(served_first)}: run release/gguf again, or name a "
            "`candidate`"
        ) from error
    return candidate_name(name, sha256)


def _registered(server: OllamaServer, candidate: str, folder: Path, modelfile: Modelfile) -> tuple[str, ...]:
    """Upload, create, check; anything wrong takes the candidate's name away again."""
    server.upload(folder / modelfile.file, modelfile.sha256)
    with ExitStack() as undo:
        undo.callback(_forget, server, candidate)
        server.create(candidate, modelfile)
        compared = (
            _compare_shown(server, candidate, modelfile),
            _compare_rendering(server, candidate, modelfile),
            _compare_answer(server, candidate, modelfile),
        )
        undo.pop_all()
    return compared


def _forget(server: OllamaServer, candidate: str) -> None:
    """A server that is gone can't be told; its candidate is made anew by the next try."""
    with suppress(OvernightError):
        server.delete(candidate)


def _compare_shown(server: OllamaServer, candidate: str, modelfile: Modelfile) -> str:
    template, stops = server.shown(candidate)
    lost = [text for text in modelfile.stop if text not in stops]
    if lost:
        raise ExportError(f"Ollama at {server.url} doesn't stop {candidate} at {lost[0]!r}: {_TOO_OLD}")
    if modelfile.template is None or template == modelfile.template:
        return "template and stop texts are those of the Modelfile"
    if modelfile.ask == "raw":
        raise ExportError(
            f"Ollama at {server.url} asks {candidate} through another template ({template[:60]!r}), and it was trained on "
            f"raw prompts: start the server with OLLAMA_GO_TEMPLATE=1, or {_TOO_OLD}"
        )
    return "stop texts are those of the Modelfile; the chat template is the file's own"


def _compare_rendering(server: OllamaServer, candidate: str, modelfile: Modelfile) -> str:
    """The server's own rendering, where it tells; what is put before every prompt anyhow may stand there or not."""
    asked = modelfile.rendering
    text = server.rendered(candidate, asked.prompt)
    if text is None:
        return "the server doesn't tell how it renders a prompt"
    if text not in (asked.expected, modelfile.start + asked.expected):
        raise ExportError(
            f"Ollama at {server.url} puts a prompt to {candidate} as {text[-80:]!r}, not as {asked.expected[-80:]!r}: "
            "set release.ollama.ask to how the model was trained"
        )
    return "a prompt is rendered as the tokenizer renders it"


def _compare_answer(server: OllamaServer, candidate: str, modelfile: Modelfile) -> str:
    """One answer to a held-out prompt; its first token is the merged model's, by log-probability or else by text."""
    asked = modelfile.first or modelfile.rendering
    text, logprobs = server.first_token(candidate, asked.prompt)
    if modelfile.first is None:
        return "it answers; no held-out prompt has a first token to look for"
    if logprobs:
        behind = max(logprobs.values()) - max(
            (value for token, value in logprobs.items() if _same(token, asked.expected)),
            default=-float("inf"),
        )
        said = f"first token by log-probabilities, {behind:.2g} nats behind the server's likeliest"
        agrees = behind <= NEAR_TIE
    else:
        said, agrees = (
            "first token by text (the server gives no log-probabilities)",
            _begins(text, asked.expected),
        )
    if not agrees:
        answer = max(logprobs, key=lambda token: logprobs[token]) if logprobs else text[:40]
        raise ExportError(
            f"Ollama at {server.url} goes on with {answer!r} after a held-out prompt where {candidate} should say "
            f"{asked.expected!r}: it serves another model, or asks it otherwise"
        )
    return said


def _same(token: str, expected: str) -> bool:
    return token.strip() == expected.strip()


def _begins(text: str, expected: str) -> bool:
    return text.lstrip().startswith(expected.strip())


@contextmanager
def _held(settings: OllamaSettings, name: str) -> Iterator[OllamaServer]:
    """The server, and its served name held by this process alone."""
    lock = releases_folder() / f".ollama-{name.replace('/', '-')}.lock"
    with locked(lock), OllamaServer(settings.address, settings.timeout_s) as server:
        yield server


def _unknown(url: str, name: str, candidate: str, known: Mapping[str, str]) -> str:
    others = [model for model in known if model.startswith(f"{name}:")]
    there = f"it holds {', '.join(sorted(others))}" if others else f"it holds nothing called {name}"
    return f"Ollama at {url} has no {candidate}; {there}: register it first (release/gguf with release.ollama.enabled)"
