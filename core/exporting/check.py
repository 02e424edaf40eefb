"""Every GGUF file of a release, loaded as it would be served and held against the merged model."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.exporting.agreement import (
    TOKENIZER_CASES,
    header_faults,
    judge,
    measure,
    token_mismatches,
    warn,
)
from core.exporting.base import BaseModel
from core.exporting.config import ReleaseSettings
from core.exporting.gguf import read_facts
from core.exporting.llama_reader import LlamaCppReader
from core.exporting.merge import Merge
from core.exporting.replay import (
    EncodedPrompt,
    Reader,
    TransformersReader,
    load_tokenizer,
    load_weights,
    reader_threads,
)
from core.exporting.results import Agreement, Divergence
from core.promotion import ReleaseCheck

_MERGED = "merged"
_BASE = "base"
_NOT_QUANTISED = "f16"


@dataclass(frozen=True, slots=True)
class _Measured:
    """Divergences of one run: each level from the merged model, and what the base model adds."""

    levels: dict[str, Divergence]
    base_kl: dict[str, float]
    signal_kl: float | None


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

        Raises: ExportError when a file can't be loaded.
        """
        tokenizer = load_tokenizer(Path(self.merge.path))
        with ExitStack() as stack:
            readers = self._open(stack, files)
            faults = {level: header_faults(tokenizer, reader) for level, reader in readers.items()}
            texts = (*TOKENIZER_CASES, *self.texts)
            misread = {level: token_mismatches(tokenizer, reader, texts) for level, reader in readers.items()}
            measured = self._measure(stack, readers)
        return tuple(
            self._agreement(level, path, measured, (*faults[level], *_misread_fault(misread[level])))
            for level, path in files.items()
        )

    def _open(self, stack: ExitStack, files: dict[str, Path]) -> dict[str, LlamaCppReader]:
        longest = max(len(prompt.tokens) for prompt in self.prompts)
        threads = reader_threads(self.settings.threads)
        return {
            level: stack.enter_context(LlamaCppReader(path, longest, threads))
            for level, path in files.items()
        }

    def _reference(self, folder: Path) -> TransformersReader:
        return TransformersReader(load_weights(folder), reader_threads(self.settings.threads))

    def _measure(self, stack: ExitStack, files: dict[str, LlamaCppReader]) -> _Measured:
        readers: dict[str, Reader] = {
            **files,
            _MERGED: TransformersReader(load_weights(Path(self.merge.path))),
        }
        pairs = [(_MERGED, level) for level in files]
        if self.base is None:
            found = measure(readers, pairs, self.prompts, tokens_only={_NOT_QUANTISED})
            return _Measured({level: found[_MERGED, level] for level in files}, {}, None)
        yardstick = BaseModel.at(self.base)
        quantised = [level for level in files if level != _NOT_QUANTISED]
        known = {
            level: kl for level in quantised if (kl := yardstick.known_kl(level, self.prompts)) is not None
        }
        unknown = [level for level in quantised if level not in known]
        base_files = self._open(stack, yardstick.files(unknown, self.settings.threads))
        readers |= {f"{_BASE} {level}": reader for level, reader in base_files.items()}
        readers[_BASE] = self._reference(self.base)
        pairs += [(_MERGED, _BASE), *((_BASE, f"{_BASE} {level}") for level in unknown)]
        found = measure(readers, pairs, self.prompts, tokens_only={_BASE, _NOT_QUANTISED})
        for level in unknown:
            known[level] = found[_BASE, f"{_BASE} {level}"].kl
            yardstick.keep_kl(level, self.prompts, known[level])
        return _Measured({level: found[_MERGED, level] for level in files}, known, found[_MERGED, _BASE].kl)

    def _agreement(self, level: str, path: Path, measured: _Measured, faults: tuple[str, ...]) -> Agreement:
        facts, divergence = read_facts(path, level=level), measured.levels[level]
        base_kl, parameters = measured.base_kl.get(level), self.merge.parameters
        found = faults + judge(
            divergence,
            self.settings.cap(level, parameters),
            base_kl=base_kl,
            most_ratio=self.settings.kl_ratio,
            noise_kl=self.settings.cap(_NOT_QUANTISED, parameters).kl,
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
            divergence=divergence,
            base_kl=base_kl,
            kl_ratio=divergence.kl / base_kl if base_kl else None,
            signal_kl=measured.signal_kl,
            warnings=warn(facts, divergence, measured.signal_kl),
        )


def _misread_fault(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        return ()
    return (f"llama.cpp reads {len(texts)} texts as other tokens, the first {texts[0][:40]!r}",)
