"""An ONNX file read by onnxruntime, as a server would."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi import onnxruntime_pybind11_state as refusals

from core.errors import ExportError, one_line
from core.exporting.replay import EncodedPrompt, LogProbs, reader_threads

_PAST = "past_key_values."
_REFUSED = (
    refusals.EPFail,
    refusals.Fail,
    refusals.InvalidArgument,
    refusals.InvalidGraph,
    refusals.InvalidProtobuf,
    refusals.NoSuchFile,
    refusals.NotImplemented,
    refusals.RuntimeException,
    ValueError,
)
_ONLY_ERRORS = 3
"""onnxruntime's log level."""
Tokens = npt.NDArray[np.int64]
Cache = dict[str, npt.NDArray[np.float32]]


class OnnxReader:
    """A graph and its weights on the CPU. Prompts longer than `cached_to` tokens are read in one piece.

    Raises: ExportError when the file is damaged or onnxruntime refuses it.
    """

    def __init__(self, path: Path, cached_to: int | None = None) -> None:
        options = SessionOptions()
        options.intra_op_num_threads = reader_threads()
        options.log_severity_level = _ONLY_ERRORS
        self._path, self._cached_to = path, cached_to
        try:
            self._session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except _REFUSED as error:
            raise ExportError(
                f"onnxruntime can't load {path} ({one_line(error)}): export it again"
            ) from error
        self._caches = {
            entry.name: (entry.shape[1], entry.shape[3])
            for entry in self._session.get_inputs()
            if entry.name.startswith(_PAST)
        }

    def log_probabilities(self, prompt: EncodedPrompt) -> LogProbs:
        """See `Reader`. Half a prompt, the rest, and its last token alone: so the cache is filled, grown and read."""
        ids_1_T = np.array([prompt.tokens], dtype=np.int64)
        cache, logits = self._empty(1), []
        for start, end in self._parts(len(prompt.tokens)):
            seen_1_T = np.ones((1, end), dtype=np.int64)
            logits_1_T_V, cache = self._step(ids_1_T[:, start:end], seen_1_T, cache)
            logits.append(logits_1_T_V[0])
        return _log_softmax(np.concatenate(logits) if prompt.every_position else logits[-1][-1:])

    def last_of_batch(self, prompts: Sequence[Sequence[int]]) -> LogProbs:
        """Log-probabilities (B, V) after each of several prompts, read together, the shorter padded on the left."""
        longest = max(map(len, prompts))
        padding = [longest - len(tokens) for tokens in prompts]
        ids_B_T = [[0] * pad + list(tokens) for pad, tokens in zip(padding, prompts, strict=True)]
        mask_B_T = [[0] * pad + [1] * (longest - pad) for pad in padding]
        logits_B_T_V, _ = self._step(
            np.array(ids_B_T, dtype=np.int64), np.array(mask_B_T, dtype=np.int64), self._empty(len(prompts))
        )
        return _log_softmax(logits_B_T_V[:, -1])

    def _parts(self, count: int) -> Iterator[tuple[int, int]]:
        whole = self._cached_to is not None and count > self._cached_to
        return pairwise(sorted({0, count} if whole else {0, count // 2, count - 1, count}))

    def _empty(self, batch: int) -> Cache:
        return {
            name: np.zeros((batch, heads, 0, width), dtype=np.float32)
            for name, (heads, width) in self._caches.items()
        }

    def _step(self, ids_B_T: Tokens, mask_B_S: Tokens, cache: Cache) -> tuple[npt.NDArray[np.float32], Cache]:
        """Read tokens T after those in the cache; `mask_B_S` is over both. Logits (B, T, V), and the cache with them."""
        positions_B_S = np.maximum(mask_B_S.cumsum(axis=1) - 1, 0)
        feed = {
            "input_ids": ids_B_T,
            "attention_mask": mask_B_S,
            "position_ids": positions_B_S[:, -ids_B_T.shape[1] :],
            **cache,
        }
        try:
            logits_B_T_V, *present = self._session.run(None, feed)
        except _REFUSED as error:
            raise ExportError(
                f"onnxruntime can't read {ids_B_T.shape[1]} tokens with {self._path} ({one_line(error)}): export it again"
            ) from error
        return logits_B_T_V, dict(zip(cache, present, strict=True))


def _log_softmax(logits_T_V: npt.NDArray[np.float32]) -> LogProbs:
    return torch.log_softmax(torch.from_numpy(logits_T_V).double(), dim=-1).float().numpy()
