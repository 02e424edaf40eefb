"""Every GGUF file of a release, loaded as it would be served and held against the merged model."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from core.exporting.agreement import judge, measure
from core.exporting.config import NOT_QUANTISED, Cap, ReleaseSettings
from core.exporting.gguf import GgufFacts, read_facts
from core.exporting.llama_reader import LlamaCppReader
from core.exporting.merge import PARITY_LIMIT, Merge
from core.exporting.replay import (
    EncodedPrompt,
    TransformersReader,
    free_memory,
)
from core.exporting.results import Agreement, Divergence
from core.exporting.yardstick import Yardstick
from core.language.model import load_tokenizer, load_weights
from core.promotion import ReleaseCheck

ADAPTER = "lora-f16"
"""The level of an adapter's own file, in an agreement."""
ROUNDED = {"kl": PARITY_LIMIT["bfloat16"], "top1": 0.95}
"""What rounding merged weights to bf16 may cost; it cost SmolLM2-135M 7e-5 nats a token and 1.4 % of the top-1."""
_EXACT = (NOT_QUANTISED, ADAPTER)
"""Levels that are held to rounding: the distributions say more about them than decisions do."""
MOST_FALLBACK = 0.05
TOKENIZER_CASES = (
    "Hello, world!",
    "  two spaces,\ttab\nnewline\n\n\nthree newlines  ",
    "I'll we've don't IT'S you're",
    "3.14159 12,345 007 1e-6",
    "naïve café Straße Łódź",
    "日本語と中文 한국어",
    "🙂👩‍👩‍👧 flags 🇫🇷",
    "def f(x):\n    return x**2  # power",
    "½ ² Ⅳ",
    "<|im_start|>user\nA<|im_end|>\n",
    "https://example.org/a?b=c&d=%20",
    " A B C",
    "العربية עברית",
    "----====####",
)


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What files are held against: the merged model, its base (None when that is what is exported), and prompts."""

    merge: Merge
    base: Path | None
    prompts: list[EncodedPrompt]
    texts: tuple[str, ...]
    """The same prompts as text, for the comparison of the tokenizers."""
    settings: ReleaseSettings

    def run(self, files: dict[str, Path]) -> tuple[Agreement, ...]:
        """One agreement for each level's file; a file that is not the model says 'failed' and why.

        An `ADAPTER` among them is loaded over the base model's f16 file. Raises: ExportError when a file can't be loaded.
        """
        tokenizer = load_tokenizer(Path(self.merge.path))
        texts = (*TOKENIZER_CASES, *self.texts)
        with self._open(files) as readers:
            faults = {level: file_faults(tokenizer, reader, texts) for level, reader in readers.items()}
            found = self._from_reference(Path(self.merge.path), readers, self.prompts)
        base_kl = self._base_kl([level for level in files if level not in _EXACT])
        return tuple(
            self._agreement(level, path, found[level], base_kl.get(level), faults[level])
            for level, path in files.items()
        )

    @contextmanager
    def _open(self, files: Mapping[str, Path]) -> Iterator[dict[str, LlamaCppReader]]:
        longest = max(len(prompt.tokens) for prompt in self.prompts)
        with ExitStack() as stack:
            yield {
                level: stack.enter_context(LlamaCppReader(*self._served(level, path, longest)))
                for level, path in files.items()
            }
        free_memory()

    def _served(self, level: str, path: Path, longest: int) -> tuple[Path, int, Path | None]:
        """The model's file, the longest prompt, and the adapter's file."""
        if level != ADAPTER or self.base is None:
            return path, longest, None
        return Yardstick.at(self.base).files([NOT_QUANTISED])[NOT_QUANTISED], longest, path

    def _from_reference(
        self, folder: Path, readers: Mapping[str, LlamaCppReader], prompts: Sequence[EncodedPrompt]
    ) -> dict[str, Divergence]:
        reference = TransformersReader(load_weights(folder))
        return measure(reference, readers, prompts, tokens_only=_EXACT)

    def _base_kl(self, levels: list[str]) -> dict[str, float]:
        """What the base model loses at each level, on the prompts compared at every position."""
        if self.base is None:
            return {}
        yardstick = Yardstick.at(self.base)
        prompts = [replace(prompt, answers=()) for prompt in self.prompts if prompt.every_position]
        known = {level: yardstick.known_kl(level, prompts) for level in levels}
        unknown = [level for level, kl in known.items() if kl is None]
        if unknown:
            with self._open(yardstick.files(unknown)) as readers:
                found = self._from_reference(self.base, readers, prompts)
            for level in unknown:
                known[level] = found[level].kl
                yardstick.keep_kl(level, prompts, found[level].kl)
        return {level: kl for level, kl in known.items() if kl is not None}

    def _cap(self, level: str, parameters: int) -> Cap:
        """An adapter's own file was not rounded, where the merged weights it is held against were."""
        if level != ADAPTER:
            return self.settings.cap(level, parameters)
        exact = self.settings.cap(NOT_QUANTISED, parameters)
        return exact if self.merge.weight_type == "float32" else exact.model_copy(update=ROUNDED)

    def _agreement(
        self, level: str, path: Path, divergence: Divergence, base_kl: float | None, faults: tuple[str, ...]
    ) -> Agreement:
        facts, parameters = read_facts(path, level=level), self.merge.parameters
        found = faults + judge(
            divergence,
            self._cap(level, parameters),
            base_kl=base_kl,
            noise_kl=self.settings.cap(NOT_QUANTISED, parameters).kl,
        )
        return Agreement(
            level=level,
            status=ReleaseCheck.FAILED if found else ReleaseCheck.VERIFIED,
            reason="; ".join(found) or "every figure is within its limit",
            file=path.name,
            **facts.model_dump(exclude={"parameters"}),
            kl=divergence.kl,
            top1=divergence.top1,
            choice=divergence.choice,
            error_max=divergence.error_max,
            divergence=divergence,
            base_kl=base_kl,
            kl_ratio=divergence.kl / base_kl if base_kl else None,
            warnings=warn(facts, divergence, self.merge.signal_kl),
        )


def warn(facts: GgufFacts, divergence: Divergence, signal_kl: float) -> tuple[str, ...]:
    """What is no failure but should be known."""
    found = []
    if facts.fallback_share > MOST_FALLBACK:
        found.append(
            f"{facts.fallback_share:.0%} of the weights could not take this level's type (rows not a multiple of 256): "
            f"really {facts.bits_per_weight:.2f} bits a weight"
        )
    if 0 < signal_kl < divergence.kl:
        found.append(
            f"what training changed (KL {signal_kl:.2g}) is less than what this level loses (KL {divergence.kl:.2g}): "
            "compare the file's own evaluation, or release f16"
        )
    return tuple(found)


def file_faults(
    tokenizer: PreTrainedTokenizerBase, file: LlamaCppReader, texts: Sequence[str]
) -> tuple[str, ...]:
    """What a file's header and tokenizer say otherwise than the model's own: template, end of text, token ids."""
    found = []
    if _sha(file.llama.metadata.get("tokenizer.chat_template", "")) != _sha(str(tokenizer.chat_template)):
        found.append("the chat template is not the tokenizer's")
    if tokenizer.eos_token_id not in (None, file.llama.token_eos()):
        found.append(
            f"its end-of-text token is {file.llama.token_eos()}, the tokenizer's {tokenizer.eos_token_id}"
        )
    misread = [
        text for text in texts if tokenizer.encode(text, add_special_tokens=False) != file.tokens(text)
    ]
    if misread:
        found.append(f"llama.cpp reads {len(misread)} texts as other tokens, the first {misread[0][:40]!r}")
    return tuple(found)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
