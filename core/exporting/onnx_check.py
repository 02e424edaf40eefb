"""The ONNX file of a release, run by onnxruntime and held against the merged model."""

from pathlib import Path

import numpy as np
from transformers import PreTrainedConfig

from core.exporting.agreement import judge, measure
from core.exporting.config import ONNX, Cap, ReleaseSettings
from core.exporting.merge import Merge
from core.exporting.onnx_converter import DATA
from core.exporting.onnx_reader import OnnxReader
from core.exporting.replay import EncodedPrompt, Reader, TransformersReader
from core.exporting.results import Agreement
from core.files import digest, file_digest
from core.language.model import load_weights
from core.language.sharing import changes_beyond
from core.promotion import ReleaseCheck


def check_onnx(
    file: Path, merge: Merge, prompts: list[EncodedPrompt], settings: ReleaseSettings
) -> Agreement:
    """How far the file is from the model it was made from; 'failed' and why when that is too far.

    Raises: ExportError when onnxruntime can't load or run it.
    """
    cap = settings.cap(ONNX, merge.parameters)
    model = load_weights(Path(merge.path))
    reference, reader = TransformersReader(model), OnnxReader(file, changes_beyond(model.config))
    divergence = measure(reference, {ONNX: reader}, prompts)[ONNX]
    found = judge(divergence, cap) + _batch_faults(reference, reader, prompts[0], cap)
    parts = (file, file.with_name(DATA))
    sizes = [part.stat().st_size for part in parts]
    return Agreement(
        level=ONNX,
        status=ReleaseCheck.FAILED if found else ReleaseCheck.VERIFIED,
        reason="; ".join(found) or "every figure is within its limit",
        file=file.name,
        sha256=digest({part.name: file_digest(part) for part in parts}),
        bytes=sum(sizes),
        bits_per_weight=8 * sizes[1] / merge.parameters,
        fallback_share=0,
        kl=divergence.kl,
        top1=divergence.top1,
        choice=divergence.choice,
        error_max=divergence.error_max,
        divergence=divergence,
        warnings=length_warnings(model.config),
    )


def length_warnings(config: PreTrainedConfig) -> tuple[str, ...]:
    """What who generates should know of a model that reads long texts with other position factors."""
    most = changes_beyond(config)
    if most is None:
        return ()
    told = f"a text that grows beyond {most} tokens has to be read again from its start"
    return (f"{told}: position factors change there, and what is in the cache has the first ones",)


def _batch_faults(reference: Reader, reader: OnnxReader, prompt: EncodedPrompt, cap: Cap) -> tuple[str, ...]:
    """A prompt and its second half, read in one batch, against each read alone: is padding left out of the attention?"""
    texts = [prompt.tokens, prompt.tokens[len(prompt.tokens) // 2 :]]
    alone_B_V = np.concatenate(
        [reference.log_probabilities(EncodedPrompt(text, (), every_position=False)) for text in texts]
    )
    error = float(np.abs(alone_B_V - reader.last_of_batch(texts)).max())
    if cap.error_max is None or error <= cap.error_max:
        return ()
    return (f"in a padded batch a log-probability is off by {error:.3g} (at most {cap.error_max:g})",)
