"""GGUF files: damage is found before llama.cpp loads them, and levels are known by name."""

import resource

import pytest

from core.errors import ConfigError, ExportError, StorageError
from core.exporting.converter import convert_model
from core.exporting.gguf import quantise, read_facts
from core.exporting.llama_reader import LlamaCppReader


@pytest.fixture(scope="module")
def full(tiny_llama, tmp_path_factory):
    """The tiny model as f16 GGUF."""
    path = tmp_path_factory.mktemp("gguf") / "full.gguf"
    convert_model(tiny_llama, path, "tiny")
    return path


def test_a_truncated_file_is_one_clear_line(full, tmp_path):
    """The tensor table promises more than the file holds."""
    short = tmp_path / "short.gguf"
    short.write_bytes(full.read_bytes()[:-1000])
    for use in (
        read_facts,
        lambda path: LlamaCppReader(path, 10),
        lambda path: quantise(path, tmp_path / "q", "q8_0"),
    ):
        with pytest.raises(ExportError, match=r"short.gguf is damaged or no GGUF file") as error:
            use(short)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"not a model at all, but text", b"GGUF\x03\x00\x00\x00" + b"\xff" * 64]
)
def test_another_file_is_no_gguf(tmp_path, content):
    """Empty, cut in the header, of another kind, or with an absurd header."""
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(ExportError, match="damaged or no GGUF file"):
        read_facts(tmp_path / "x.gguf")
    with pytest.raises(ExportError, match=r"x.gguf"):
        LlamaCppReader(tmp_path / "x.gguf", 10)


def test_a_flipped_bit_is_found_by_the_digest(full, tmp_path):
    """llama.cpp would load it without a word."""
    intact = read_facts(full)
    data = bytearray(full.read_bytes())
    data[-1000] ^= 1
    (tmp_path / "bit.gguf").write_bytes(data)
    assert read_facts(tmp_path / "bit.gguf").parameters == intact.parameters
    with pytest.raises(ExportError, match="changed after it was published"):
        read_facts(tmp_path / "bit.gguf", sha256=intact.sha256)


def test_an_unknown_level_lists_those_that_exist(full, tmp_path):
    """The line is a list to choose from."""
    with pytest.raises(ConfigError, match=r"'q9': choose from f16, q8_0, q6_k, q5_k_m, q4_k_m, q3_k_m"):
        quantise(full, tmp_path / "x.gguf", "q9")


def test_a_disk_that_fills_up_during_the_conversion(tiny_llama, tmp_path):
    """The converter, a process of its own, may write no file larger than 100 kB: StorageError with what to do."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(
            StorageError, match=rf"can't write {tmp_path / 'x.gguf'}: File too large \(EFBIG\)"
        ):
            convert_model(tiny_llama, tmp_path / "x.gguf", "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("INFO:x\\nTraceback\\nKeyError: 'hidden_size'", "KeyError: 'hidden_size'"),
        ("BPE pre-tokenizer was not recognized", "llama.cpp does not know this tokenizer's pre-tokenizer"),
    ],
)
def test_what_the_converter_refuses_is_one_clear_line(tmp_path, monkeypatch, said, line):
    """Its own last line, not its traceback."""
    script = f"import sys\nsys.stderr.write({said!r}.replace('\\\\n', chr(10)))\nsys.exit(1)\n"
    (tmp_path / "convert_hf_to_gguf.py").write_text(script)
    monkeypatch.setenv("OVERNIGHT_LLAMA_CPP", str(tmp_path))
    with pytest.raises(ExportError, match="can't be converted to GGUF") as error:
        convert_model(tmp_path, tmp_path / "x.gguf", "x")
    assert line in str(error.value)
    assert "\n" not in str(error.value)
