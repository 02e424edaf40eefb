"""A GGUF file read by llama.cpp, as a server would."""

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Self

import llama_cpp
import numpy as np
import numpy.typing as npt
import torch

from core.errors import ExportError
from core.exporting.gguf import captured_log, read_facts
from core.exporting.replay import EncodedPrompt, LogProbs, reader_threads

_CONTEXT_STEP = 256


class LlamaCppReader:
    """A GGUF file, with a LoRA adapter on it or not, loaded as llama.cpp serves it.

    Close it, it holds memory outside Python.

    Raises: ExportError when the file is damaged or llama.cpp refuses it.
    """

    def __init__(self, path: Path, longest_prompt: int, adapter: Path | None = None) -> None:
        for file in (path, adapter):
            if file:
                read_facts(file)
        context = -(-longest_prompt // _CONTEXT_STEP) * _CONTEXT_STEP
        threads = reader_threads()
        try:
            with captured_log() as log:
                self.llama = llama_cpp.Llama(
                    str(path),
                    lora_path=str(adapter) if adapter else None,
                    n_ctx=context,
                    n_batch=context,
                    n_threads=threads,
                    n_threads_batch=threads,
                    verbose=False,
                )
        except (ValueError, RuntimeError) as error:
            raise ExportError(
                f"llama.cpp can't load {adapter or path} ({' '.join(log)[-200:] or error}): export it again"
            ) from error

    def log_probabilities(self, prompt: EncodedPrompt) -> LogProbs:
        """See `Reader`."""
        count, vocabulary = len(prompt.tokens), self.llama.n_vocab()
        rows = range(count) if prompt.every_position else range(count - 1, count)
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.llama.ctx), True)
        batch = _batch(prompt, rows)
        try:
            if llama_cpp.llama_decode(self.llama.ctx, batch):
                raise ExportError(
                    f"llama.cpp can't read a prompt of {count} tokens with {self.llama.model_path}"
                )
            logits_T_V = torch.from_numpy(np.stack([self._logits(row, vocabulary) for row in rows]))
        finally:
            llama_cpp.llama_batch_free(batch)
        return torch.log_softmax(logits_T_V.double(), dim=-1).float().numpy()

    def _logits(self, row: int, vocabulary: int) -> npt.NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self.llama.ctx, ctypes.c_int32(row))
        return np.ctypeslib.as_array(pointer, shape=(vocabulary,)).copy()

    def tokens(self, text: str) -> list[int]:
        """A text's ids as llama.cpp's own tokenizer reads it, special tokens included."""
        return list(self.llama.tokenize(text.encode(), add_bos=False, special=True))

    def close(self) -> None:
        """Give the memory back."""
        self.llama.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _batch(prompt: EncodedPrompt, rows: range) -> llama_cpp.llama_batch:
    batch = llama_cpp.llama_batch_init(len(prompt.tokens), 0, 1)
    batch.n_tokens = len(prompt.tokens)
    for position, token in enumerate(prompt.tokens):
        batch.token[position] = token
        batch.pos[position] = position
        batch.n_seq_id[position] = 1
        batch.seq_id[position][0] = 0
        batch.logits[position] = position in rows
    return batch
