"""A checkpoint turned into folders others can run: merged, exported, checked, published."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.errors import ExportError
from core.exporting.card import write_card
from core.exporting.config import ReleaseFormat, ReleaseRequest
from core.exporting.converter import INSTALL_HINT, convert_adapter, missing_tools
from core.exporting.lora import write_adapter
from core.exporting.merge import Merge, merge_adapter
from core.exporting.publish import publish_folder, staging_folder, switch_alias
from core.exporting.replay import EncodedPrompt, encode_prompts, free_memory, load_tokenizer
from core.exporting.results import Agreement, Published, Release
from core.files import data_folder, digest, need_space
from core.promotion import ReleaseCheck

PROBES = 3
"""Prompts on which adapter and merged model must agree to rounding."""
_SPACE_FACTOR = 4
"""Merged weights, f16, the levels and the base model's own, over the base model's size, with room."""
_TOOLS = ("torch", "transformers", "peft", "safetensors", "gguf", "llama-cpp-python")


def releases_folder() -> Path:
    """Where releases are published."""
    return data_folder() / "releases"


def release(request: ReleaseRequest) -> Release:
    """Export a checkpoint in every format asked for, and publish what is the model that was trained.

    Without llama.cpp the GGUF files are left out and the release is 'not verified'.

    Raises: ExportError when an export is not the model it should be (formats published before it stay under their
    digest; no alias moves), ModelError, StorageError.
    """
    root = releases_folder()
    base = Path(request.base)
    need_space(root, _SPACE_FACTOR * _weight_bytes(base) / 1e9)
    prompts = request.prompts[: request.settings.prompts]
    encoded = encode_prompts(load_tokenizer(base), prompts, request.settings.token_positions)
    with staging_folder(root, request.name) as stage:
        return _Exporter(request, stage, root, encoded).run()


@dataclass(slots=True)
class _Exporter:
    """One release on its way: what is staged, what is published, how long each step took."""

    request: ReleaseRequest
    stage: Path
    root: Path
    prompts: list[EncodedPrompt]
    published: list[Published] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> Release:
        """All formats; the merged weights are published last because GGUF is made from them."""
        formats = self.request.settings.formats
        with self._timed("merge"):
            merge = self._merge()
        if "lora" in formats and self.request.adapter:
            with self._timed("lora"):
                self._publish_lora(Path(self.request.adapter))
        missing = missing_tools() if "gguf" in formats else None
        agreements = self._gguf(merge) if "gguf" in formats and not missing else ()
        if "merged" in formats:
            self._publish("merged", {"parity_kl": merge.parity_kl})
        self._need_something()
        if self.request.switch_alias:
            for published in self.published:
                switch_alias(published, self.request.name)
        return self._result(merge, agreements, missing)

    def _merge(self) -> Merge:
        adapter = Path(self.request.adapter) if self.request.adapter else None
        merge = merge_adapter(
            Path(self.request.base),
            adapter,
            self.stage / "merged",
            weight_type=self.request.settings.merged_type,
            probes=self.prompts[:PROBES],
        )
        write_card(self.stage / "merged", self.request.name, "merged", self.request.facts)
        return merge

    def _publish_lora(self, adapter: Path) -> None:
        folder = self.stage / "lora"
        write_adapter(adapter, folder, self.request.facts.base_model)
        write_card(folder, self.request.name, "lora", self.request.facts)
        if self.request.settings.adapter_gguf and not missing_tools():
            convert_adapter(folder, Path(self.request.base), folder / f"{self.request.name}-lora-f16.gguf")
        self._publish("lora", {})

    def _gguf(self, merge: Merge) -> tuple[Agreement, ...]:
        """llama.cpp is imported here because an installation may lack it."""
        from core.exporting.check import FileCheck  # noqa: PLC0415
        from core.exporting.gguf import write_files  # noqa: PLC0415

        name, settings, base = self.request.name, self.request.settings, Path(self.request.base)
        with self._timed("convert"):
            files = write_files(
                Path(merge.path), self.stage / "gguf", name, settings.levels, settings.threads
            )
        texts = tuple(row.prompt for row in self.request.prompts[: len(self.prompts)])
        check = FileCheck(merge, base if self.request.adapter else None, self.prompts, texts, settings)
        with self._timed("check"):
            agreements = check.run(files)
            free_memory()
        _require_agreement(name, agreements)
        write_card(self.stage / "gguf", name, "gguf", self.request.facts, agreements)
        self._publish("gguf", {"agreements": [row.model_dump(mode="json") for row in agreements]})
        return agreements

    def _publish(self, format_: ReleaseFormat, facts: dict[str, Any]) -> None:
        with self._timed("publish"):
            common = {"name": self.request.name, "tools": _tool_versions(), **facts}
            self.published.append(
                publish_folder(self.stage / format_, self.root, self.request.name, format_, common)
            )

    def _need_something(self) -> None:
        if not self.published:
            raise ExportError(
                f"nothing was published of {self.request.name}: format 'lora' needs a checkpoint that is an adapter; "
                "release it as 'merged' or 'gguf'"
            )

    def _result(self, merge: Merge, agreements: tuple[Agreement, ...], missing: str | None) -> Release:
        reason = f"{missing}: {INSTALL_HINT}" if missing else _reason(merge, agreements)
        return Release(
            name=self.request.name,
            check=ReleaseCheck.VERIFIED if agreements else ReleaseCheck.NOT_VERIFIED,
            reason=reason,
            sha256=digest(sorted(row.sha256 for row in self.published)),
            parameters=merge.parameters,
            parity_kl=merge.parity_kl,
            signal_kl=merge.signal_kl,
            published=tuple(self.published),
            agreements=agreements,
            seconds=self.seconds,
        )

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.perf_counter() - start, 2)


def _require_agreement(name: str, agreements: tuple[Agreement, ...]) -> None:
    for row in agreements:
        if row.status is ReleaseCheck.FAILED:
            raise ExportError(
                f"{row.file} is not the model it was made from (top-1 agreement {row.top1:.1%}, KL {row.kl:.3g} nats "
                f"a token): {row.reason}; release {name} at a better level, q8_0 or f16"
            )


def _reason(merge: Merge, agreements: tuple[Agreement, ...]) -> str:
    if not agreements:
        return f"no file was loaded as it would be served; merged weights answer as the adapter does (KL {merge.parity_kl:.2g} nats a token)"
    return "; ".join(f"{row.level}: top-1 {row.top1:.1%}, KL {row.kl:.2g}" for row in agreements)


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _tool_versions() -> dict[str, str]:
    versions = {}
    for tool in _TOOLS:
        try:
            versions[tool] = version(tool)
        except PackageNotFoundError:
            versions[tool] = "not installed"
    return versions
