"""How much the untrained base model loses at a level: the yardstick of the relative gate, measured once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.checkpoint import weights_digest
from core.exporting.converter import llama_cpp_version
from core.exporting.gguf import read_facts, write_files
from core.exporting.publish import staging_folder
from core.exporting.replay import EncodedPrompt
from core.files import data_folder, digest, file_digest, make_folder, write_json, writing


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A base model's quantised files and figures, kept in the data folder by the digest of its weights."""

    source: Path
    sha256: str
    folder: Path

    @classmethod
    def at(cls, source: Path) -> "Yardstick":
        """The base model in a folder."""
        sha256 = digest(weights_digest(source), llama_cpp_version())
        return cls(source, sha256, make_folder(data_folder() / "models" / "gguf"))

    def files(self, levels: Sequence[str]) -> dict[str, Path]:
        """The base model at each level, quantised when it is not there yet. Raises: ExportError, StorageError."""
        targets = {level: self.folder / f"{self.sha256[:12]}-{level}.gguf" for level in levels}
        missing = {level: target for level, target in targets.items() if not _is_whole(target)}
        if missing:
            self._quantise(missing)
        return targets

    def _quantise(self, targets: dict[str, Path]) -> None:
        with staging_folder(self.folder, self.sha256[:12]) as stage:
            made = write_files(self.source, stage, "base", tuple(targets))
            for level, target in targets.items():
                read_facts(made[level])
                with writing(target):
                    made[level].replace(target)
                write_json(_seal(target), {"sha256": file_digest(target)})

    def known_kl(self, level: str, prompts: Sequence[EncodedPrompt]) -> float | None:
        """The base model's KL at a level on these prompts, when it was measured before."""
        try:
            return float(json.loads(self._figure(level, prompts).read_text())["kl"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_kl(self, level: str, prompts: Sequence[EncodedPrompt], kl: float) -> None:
        """Remember a figure for the next release on the same prompts."""
        write_json(self._figure(level, prompts), {"kl": kl, "level": level})

    def _figure(self, level: str, prompts: Sequence[EncodedPrompt]) -> Path:
        tokens = [prompt.tokens for prompt in prompts if prompt.every_position]
        return self.folder / f"{self.sha256[:12]}-{level}-{digest(tokens)[:12]}.json"


def _seal(file: Path) -> Path:
    return file.with_suffix(".sha256.json")


def _is_whole(file: Path) -> bool:
    """Whether a file is there as it was written: llama.cpp may load a damaged one without a word."""
    try:
        return bool(json.loads(_seal(file).read_text())["sha256"] == file_digest(file))
    except (OSError, ValueError, KeyError, TypeError):
        return False
