"""Every GGUF file of a release, loaded as it would be served and held against the merged model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from core.exporting.agreement import (
    TOKENIZER_CASES,
    file_faults,
    judge,
    measure,
    warn,
)
from core.exporting.base import BaseModel
from core.exporting.config import ReleaseSettings
from core.exporting.gguf import read_facts
from core.exporting.llama_reader import LlamaCppReader
from core.exporting.merge import Merge
from core.exporting.replay import (
    EncodedPrompt,
    TransformersReader,
    free_memory,
    load_tokenizer,
    load_weights,
    reader_threads,
)
from core.exporting.results import Agreement, Divergence
from core.promotion import ReleaseCheck

_NOT_QUANTISED = "f16"


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
        texts = (*TOKENIZER_CASES, *self.texts)
        with self._open(files) as readers:
            faults = {level: file_faults(tokenizer, reader, texts) for level, reader in readers.items()}
            found = self._from_reference(Path(self.merge.path), readers, self.prompts)
        base_kl = self._base_kl([level for level in files if level != _NOT_QUANTISED])
        return tuple(
            self._agreement(level, path, found[level], base_kl.get(level), faults[level])
            for level, path in files.items()
        )

    @contextmanager
    def _open(self, files: Mapping[str, Path]) -> Iterator[dict[str, LlamaCppReader]]:
        longest = max(len(prompt.tokens) for prompt in self.prompts)
        threads = reader_threads(self.settings.threads)
        with ExitStack() as stack:
            yield {
                level: stack.enter_context(LlamaCppReader(path, longest, threads))
                for level, path in files.items()
            }
        free_memory()

    def _from_reference(
        self, folder: Path, readers: Mapping[str, LlamaCppReader], prompts: Sequence[EncodedPrompt]
    ) -> dict[str, Divergence]:
        reference = TransformersReader(load_weights(folder), reader_threads(self.settings.threads))
        return measure(reference, readers, prompts, tokens_only={_NOT_QUANTISED})

    def _base_kl(self, levels: list[str]) -> dict[str, float]:
        """What the base model loses at each level, on the prompts compared at every position."""
        if self.base is None:
            return {}
        yardstick = BaseModel.at(self.base)
        prompts = [replace(prompt, answers=()) for prompt in self.prompts if prompt.every_position]
        known = {level: yardstick.known_kl(level, prompts) for level in levels}
        unknown = [level for level, kl in known.items() if kl is None]
        if unknown:
            with self._open(yardstick.files(unknown, self.settings.threads)) as readers:
                found = self._from_reference(self.base, readers, prompts)
            for level in unknown:
                known[level] = found[level].kl
                yardstick.keep_kl(level, prompts, found[level].kl)
        return {level: kl for level, kl in known.items() if kl is not None}

    def _agreement(
        self, level: str, path: Path, divergence: Divergence, base_kl: float | None, faults: tuple[str, ...]
    ) -> Agreement:
        facts, parameters = read_facts(path, level=level), self.merge.parameters
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
            warnings=warn(facts, divergence, self.merge.signal_kl),
        )
