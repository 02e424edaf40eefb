"""A release at an Ollama server: a candidate that was tried, a served name that nothing wrong ever reaches."""

import json
import socket
from pathlib import Path

import pytest

from core.errors import ConfigError, ExportError, ServiceError
from core.exporting.ollama_server import OllamaServer
from core.exporting.publish import MANIFEST
from core.exporting.registration import deploy, is_registered, register, released_candidate, roll_back
from core.exporting.release import release
from core.exporting.results import Asked, Modelfile, Published, Release
from core.exporting.serving import OllamaSettings
from core.files import digest, file_digest
from core.promotion import ReleaseCheck

NAME = "agent"


@pytest.fixture
def made(home, tmp_path):
    """Call it for a release whose GGUF file is a few bytes of its own: what the contract looks at."""

    def make(content: str = "weights", **changes) -> Release:
        folder = tmp_path / f"release-{content}"
        folder.mkdir(exist_ok=True)
        file = folder / "agent-q8_0.gguf"
        file.write_bytes(b"GGUF" + content.encode())
        modelfile = Modelfile(
            **{
                "file": file.name,
                "sha256": file_digest(file),
                "ask": "raw",
                "template": "{{ .Prompt }}",
                "system": "",
                "stop": ("<|im_end|>", '"\n'),
                "parameters": {"temperature": 0, "num_ctx": 512, "use_mmap": True},
                "note": "raw",
                "start": "",
                "rendering": Asked(prompt="Hi", expected="Hi"),
                "first": Asked(prompt="Pick:", expected=" A"),
                **changes,
            }
        )
        published = Published(format="gguf", path=str(folder), sha256=digest(content), files={})
        return Release(
            name="agent",
            check=ReleaseCheck.VERIFIED,
            reason="",
            sha256=digest(content),
            parameters=1,
            parity_kl=0,
            signal_kl=0,
            published=(published,),
            seconds={},
            modelfile=modelfile,
        )

    return make


@pytest.fixture
def settings(ollama):
    """Settings that lead to the contract server."""
    return OllamaSettings(enabled=True, url=ollama.url, timeout_s=10)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_candidate_is_uploaded_created_looked_at_and_tried(ollama, settings, made):
    """In this order, under the digest's name; the served name stays what it was: nothing."""
    files = made()
    found = register(files, settings, NAME)
    candidate = f"agent:{files.modelfile.sha256[:12]}"
    assert (found.check, found.candidate, found.deployed) == (ReleaseCheck.VERIFIED, candidate, False)
    assert found.compared == (
        "template and stop texts are those of the Modelfile",
        "a prompt is rendered as the tokenizer renders it",
        "first token by log-probabilities, 0 nats behind the server's likeliest",
    )
    assert [path for _, path in ollama.log] == [
        "/api/tags",
        "/api/blobs/",
        "/api/blobs/",
        "/api/create",
        "/api/show",
        "/api/generate",
        "/api/generate",
    ]
    assert [method for method, path in ollama.log if path == "/api/blobs/"] == ["HEAD", "POST"]
    _, asked = next(one for one in ollama.requests if one[0] == "/api/create")
    assert asked == {
        "model": candidate,
        "files": {"agent-q8_0.gguf": f"sha256:{files.modelfile.sha256}"},
        "template": "{{ .Prompt }}",
        "parser": "passthrough",
        "parameters": {"temperature": 0, "num_ctx": 512, "use_mmap": True, "stop": ["<|im_end|>", '"\n']},
        "stream": True,
    }
    assert set(ollama.models) == {candidate}
    assert is_registered(found, settings)


def test_the_same_again_sends_no_file(ollama, settings, made):
    """HEAD says that it is there."""
    assert register(made(), settings, NAME) == register(made(), settings, NAME)
    assert [method for method, path in ollama.log if path == "/api/blobs/"] == ["HEAD", "POST", "HEAD"]


def test_a_chat_is_asked_in_its_template_with_its_system_prompt(ollama, settings, made):
    """No parser: a file's own template may hold where it can do more, if it renders the same."""
    template = "{{ range $i, $_ := .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}<assistant>"
    asked = Asked(prompt="Hi", expected="<system>Be brief.<user>Hi<assistant>")
    chat = {"ask": "chat", "template": template, "system": "Be brief.", "rendering": asked}
    assert register(made(**chat), settings, NAME).check is ReleaseCheck.VERIFIED
    (_, request) = next(one for one in ollama.requests if one[0] == "/api/create")
    assert (request["system"], request["template"], "parser" in request) == ("Be brief.", template, False)
    ollama.prefers_file_template = True
    ollama.own_rendering = lambda _messages: f"<s>{asked.expected}"
    with pytest.raises(ExportError, match="puts a prompt to agent:"):
        register(made(**chat), settings, NAME)
    chat["start"] = "<s>"
    found = register(made(**chat), settings, NAME)
    assert "stop texts are those of the Modelfile; the chat template is the file's own" in found.compared
    without = register(made(**chat | {"template": None}), settings, NAME)
    assert without.compared[0] == "template and stop texts are those of the Modelfile"


def test_a_server_that_tells_less_is_compared_by_text(ollama, settings, made):
    """And the registration says which it was."""
    ollama.engine = lambda _blob, _prompt, _options: (" A and more", None)
    ollama.tells_rendering = False
    assert register(made(), settings, NAME).compared[1:] == (
        "the server doesn't tell how it renders a prompt",
        "first token by text (the server gives no log-probabilities)",
    )
    assert (
        register(made(first=None), settings, NAME).compared[-1].startswith("it answers; no held-out prompt")
    )


def test_a_near_tie_is_no_other_model(ollama, settings, made):
    """Rounding turns it, and the registration says by how much."""
    ollama.engine = lambda _blob, _prompt, _options: (" B", {" B": -0.5, " A": -1.0})
    assert "0.5 nats behind" in register(made(), settings, NAME).compared[-1]


WRONG = {
    "create": "llama-quantize: the file is broken",
    "create ends early": "broke off while it created",
    "show": "doesn't stop agent:",
    "rendering": "puts a prompt to agent:",
    "answer": "serves another model",
    "text": "serves another model",
    "dies at create": "broke off when it was to create",
    "dies at generate": "broke off when it was to",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_whatever_is_wrong_the_served_name_stays_and_the_candidate_goes(ollama, settings, made, wrong):
    """An error in a stream that began well, a server that dies, one that serves something else."""
    before = register(made("before"), settings, NAME)
    deploy(settings, NAME, before.candidate)
    served = ollama.models["agent:latest"]
    ollama.wrong = wrong
    if wrong in {"answer", "text"}:
        ollama.engine = lambda *_: (" C", {" C": -0.1, " A": -4.0} if wrong == "answer" else None)
    with pytest.raises((ExportError, ServiceError), match=WRONG[wrong]) as error:
        register(made("after"), settings, NAME)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, ServiceError) == (wrong.startswith("dies") or wrong == "create ends early")
    assert ollama.models["agent:latest"] == served
    left = {"agent:latest", before.candidate}
    if wrong == "dies at generate":  # it could not be told any more
        left.add(f"agent:{made('after').modelfile.sha256[:12]}")
    assert set(ollama.models) == left


def test_after_a_death_the_next_try_finds_no_server_and_then_a_new_one(ollama, settings, made):
    """What was left behind is made anew, and the file is not sent again."""
    ollama.wrong = "dies at generate"
    with pytest.raises(ServiceError):
        register(made(), settings, NAME)
    found = register(made(), settings, NAME)
    assert (found.check, found.reason) == (ReleaseCheck.NOT_VERIFIED, f"no Ollama at {ollama.url}")
    assert not is_registered(found, settings)


def test_without_a_server_it_is_not_verified(made, monkeypatch):
    """No failure: the address is said, from the environment where the settings have none."""
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{free_port()}")
    found = register(made(), OllamaSettings(enabled=True), NAME)
    assert (found.check, found.candidate) == (ReleaseCheck.NOT_VERIFIED, None)
    assert found.reason.startswith("no Ollama at 127.0.0.1:")
    monkeypatch.delenv("OLLAMA_HOST")
    assert OllamaSettings().address == "http://127.0.0.1:11434"


def test_a_release_without_a_gguf_file_is_not_verified(made, settings):
    """There is nothing to register, and no server is asked."""
    found = register(made().model_copy(update={"published": (), "modelfile": None}), settings, NAME)
    assert (found.check, found.reason) == (ReleaseCheck.NOT_VERIFIED, "no GGUF file was released")


def test_a_file_that_changed_after_its_check_is_not_registered(ollama, settings, made):
    """Its bytes have another digest than the one that was checked."""
    files = made()
    (Path(files.folder("gguf")) / files.modelfile.file).write_bytes(b"GGUF other")
    with pytest.raises(ExportError, match="was changed after it was checked"):
        register(files, settings, NAME)
    assert ollama.models == {}


def test_what_is_no_gguf_file_is_refused_by_the_server(ollama, settings, made):
    """In its own words."""
    files = made()
    path = Path(files.folder("gguf")) / files.modelfile.file
    path.write_bytes(b"other")
    changed = files.modelfile.model_copy(update={"sha256": file_digest(path)})
    with pytest.raises(ExportError, match="not in GGUF format"):
        register(files.model_copy(update={"modelfile": changed}), settings, NAME)
    assert ollama.models == {}


def test_the_served_name_moves_in_one_copy_and_back(ollama, settings, made):
    """The model before is kept under `previous`, which moves first; the same again changes nothing."""
    first, second, third = (register(made(text), settings, NAME).candidate for text in ("a", "b", "c"))
    moved = deploy(settings, NAME, first)
    assert (moved.moved, moved.previous) == (True, None)
    assert "agent:previous" not in ollama.models
    assert deploy(settings, NAME, second).previous == "agent:previous"
    assert [asked for path, asked in ollama.requests if path == "/api/copy"][-2:] == [
        {"source": "agent:latest", "destination": "agent:previous"},
        {"source": second, "destination": "agent:latest"},
    ]
    assert not deploy(settings, NAME, second).moved
    assert ollama.models["agent:previous"] == ollama.models[first]
    deploy(settings, NAME, third)
    assert ollama.models["agent:previous"] == ollama.models[second]

    back = roll_back(settings, NAME)
    assert (back.moved, back.model) == (True, "agent:previous")
    assert ollama.models["agent:latest"] == ollama.models[second]
    assert not roll_back(settings, NAME).moved


@pytest.mark.parametrize("target", ["agent:previous", "agent:latest"])
def test_a_copy_that_fails_leaves_what_is_served(ollama, settings, made, target):
    """Whichever of the two it is."""
    first, second = (register(made(text), settings, NAME).candidate for text in ("a", "b"))
    deploy(settings, NAME, first)
    ollama.wrong = f"copy to {target}"
    with pytest.raises(ExportError, match="no space left on device"):
        deploy(settings, NAME, second)
    assert ollama.models["agent:latest"] == ollama.models[first]
    ollama.wrong = None
    deploy(settings, NAME, second)
    assert ollama.models["agent:previous"] == ollama.models[first]


def test_what_is_not_there_can_be_neither_served_nor_brought_back(ollama, settings, made):
    """The line lists what there is."""
    candidate = register(made(), settings, NAME).candidate
    with pytest.raises(ExportError, match=f"has no agent:nothing; it holds {candidate}: register it first"):
        deploy(settings, NAME, "agent:nothing")
    with pytest.raises(ExportError, match="nothing to go back to"):
        roll_back(settings, NAME)
    assert set(ollama.models) == {candidate}


def test_a_server_that_is_gone_when_the_name_moves_is_said(settings, made, home):
    """That may pass, so a task tries it again."""
    gone = settings.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(ServiceError, match=r"no Ollama answers at .*: start it"):
        deploy(gone, NAME, "agent:x")


def test_a_raw_model_behind_another_template_is_refused(ollama, settings, made):
    """A server too old to know the parser would ask it as a chat."""
    ollama.template = lambda _asked: "{% chat %}"
    with pytest.raises(ExportError, match="OLLAMA_GO_TEMPLATE=1"):
        register(made(), settings, NAME)
    assert ollama.models == {}


def test_what_is_no_ollama_server_is_said(ollama, settings, made):
    """Another program on that port."""
    ollama.tags = list
    with pytest.raises(ExportError, match="is no Ollama server"), OllamaServer(ollama.url, 5) as server:
        server.models()


def test_an_address_that_is_none_is_said(monkeypatch):
    """From the environment it comes unchecked."""
    monkeypatch.setenv("OLLAMA_HOST", "http://host:port")
    with pytest.raises(ConfigError, match="'http://host:port' is no address"):
        OllamaServer(OllamaSettings().address, 5)


def test_the_candidate_of_a_published_folder_is_the_level_that_is_served(tmp_path):
    """Found again by the manifest alone."""
    files = {f"x-{level}.gguf": {"sha256": level[:1] * 64, "bytes": 1} for level in ("f16", "q8_0")}
    (tmp_path / MANIFEST).write_text(json.dumps({"files": files}))
    published = Published(format="gguf", path=str(tmp_path), sha256="a" * 64, files={})
    levels = ("q8_0", "f16")
    assert released_candidate(published, OllamaSettings(), levels, NAME) == f"agent:{'f' * 12}"
    assert released_candidate(published, OllamaSettings(level="q8_0"), levels, NAME) == f"agent:{'q' * 12}"
    assert released_candidate(published, OllamaSettings(), ("q8_0", "q4_k_m"), NAME) == f"agent:{'q' * 12}"
    with pytest.raises(ExportError, match="no GGUF file of level q4_k_m"):
        released_candidate(published, OllamaSettings(), ("q4_k_m",), NAME)


def test_a_tiny_file_is_really_asked(ollama, settings, request_for):
    """llama.cpp behind the contract: the file that the exporter made goes on as the merged model does."""
    ollama.use_llama_cpp()
    files = release(request_for(formats=("gguf",), levels=("f16",)))
    found = register(files, settings, NAME)
    assert found.check is ReleaseCheck.VERIFIED
    assert found.compared[-1] == "first token by log-probabilities, 0 nats behind the server's likeliest"
    other = files.modelfile.model_copy(
        update={"first": files.modelfile.first.model_copy(update={"expected": "another word"})}
    )
    with pytest.raises(ExportError, match="serves another model"):
        register(files.model_copy(update={"modelfile": other}), settings, NAME)
