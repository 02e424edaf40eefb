"""A checkpoint turned into folders others can run: merged, exported, checked, published."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.errors import ExportError
from core.exporting.aliases import releases_folder
from core.exporting.card import write_card
from core.exporting.config import (
    LEVELS,
    NOT_QUANTISED,
    ONNX,
    ReleaseFormat,
    ReleaseRequest,
    ReleaseSettings,
)
from core.exporting.converter import convert_adapter
from core.exporting.lora import write_adapter
from core.exporting.merge import Merge, merge_adapter
from core.exporting.modelfile import describe_serving, write_modelfile
from core.exporting.onnx_converter import PACKAGES, write_onnx
from core.exporting.publish import publish_folder, staging_folder, switch_alias
from core.exporting.replay import EncodedPrompt, encode_prompts, free_memory
from core.exporting.results import Agreement, Modelfile, Published, Release
from core.exporting.space import release_gigabytes
from core.exporting.tools import not_installed
from core.files import digest, need_space
from core.language.folder import parameter_count
from core.language.model import load_tokenizer
from core.promotion import ReleaseCheck

PROBES = 3
"""Prompts on which adapter and merged model must agree to rounding."""
_TOOLS = ("torch", "transformers", "peft", "safetensors", "gguf", "llama-cpp-python", *PACKAGES)


def release(request: ReleaseRequest) -> Release:
    """Export a checkpoint in every format asked for, and publish what is the model that was trained.

    A format whose tools are not installed is left out, and the release is 'not verified'. A quantised file that lost too
    much is left out where another level is the model.

    Raises: ExportError when a file is not the model it should be (nothing is published), ModelError, StorageError.
    """
    root = releases_folder()
    base = Path(request.base)
    need_space(root, release_gigabytes(parameter_count(base), request.settings))
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
    modelfile: Modelfile | None = None
    left_out: tuple[Agreement, ...] = ()

    def run(self) -> Release:
        """Make every file, check those that llama.cpp and onnxruntime serve, and only then publish."""
        with self._timed("merge"):
            merge = self._merge()
        self._card("merged")
        if self._wants_lora:
            write_adapter(
                Path(self.request.adapter or ""), self.stage / "lora", self.request.facts.base_model
            )
            self._card("lora")
        missing = not_installed(self.request.settings, adapter=self.request.adapter is not None)
        agreements = self._checked(merge) if self._wants_llama_cpp and "gguf" not in missing else ()
        if "onnx" in self.request.settings.formats and "onnx" not in missing:
            agreements += self._checked_onnx(merge)
        self._publish_all(merge, agreements, missing)
        if self.request.switch_alias:
            for published in self.published:
                switch_alias(published, self.request.name)
        return self._result(merge, agreements, missing)

    @property
    def _wants_lora(self) -> bool:
        return "lora" in self.request.settings.formats and self.request.adapter is not None

    @property
    def _wants_adapter_gguf(self) -> bool:
        return self._wants_lora and self.request.settings.adapter_gguf

    @property
    def _wants_llama_cpp(self) -> bool:
        return "gguf" in self.request.settings.formats or self._wants_adapter_gguf

    def _merge(self) -> Merge:
        adapter = Path(self.request.adapter) if self.request.adapter else None
        return merge_adapter(
            Path(self.request.base),
            adapter,
            self.stage / "merged",
            weight_type=self.request.settings.merged_type,
            probes=self.prompts[:PROBES],
        )

    def _card(self, format_: ReleaseFormat, agreements: tuple[Agreement, ...] = ()) -> None:
        """Written before the conversion too: a GGUF file takes licence and base model from it."""
        write_card(self.stage / format_, self.request.name, format_, self.request.facts, agreements)

    def _checked(self, merge: Merge) -> tuple[Agreement, ...]:
        """GGUF files, each held against the merged model. llama.cpp is imported here: an installation may lack it."""
        from core.exporting.check import FileCheck  # noqa: PLC0415

        settings, base = self.request.settings, Path(self.request.base)
        with self._timed("convert"):
            files = self._gguf_files(merge)
        texts = tuple(row.prompt for row in self.request.prompts[: len(self.prompts)])
        check = FileCheck(merge, base if self.request.adapter else None, self.prompts, texts, settings)
        with self._timed("check"):
            agreements = check.run(files)
            free_memory()
        self.left_out = dispensable(agreements, settings)
        agreements = tuple(row for row in agreements if row not in self.left_out)
        require_agreement(self.request.name, agreements)
        for row in self.left_out:
            files[row.level].unlink()
        if NOT_QUANTISED in files and NOT_QUANTISED not in settings.levels:
            files[NOT_QUANTISED].unlink()
        self._describe(merge, agreements)
        return tuple(row for row in agreements if files[row.level].is_file())

    def _describe(self, merge: Merge, agreements: tuple[Agreement, ...]) -> None:
        """Write down how the GGUF file is asked, beside it."""
        texts = [row.prompt for row in self.request.prompts[:PROBES]]
        self.modelfile = describe_serving(merge, agreements, texts, self.request.settings)
        if self.modelfile is not None:
            write_modelfile(self.stage / "gguf", self.modelfile)

    def _gguf_files(self, merge: Merge) -> dict[str, Path]:
        from core.exporting.check import ADAPTER  # noqa: PLC0415
        from core.exporting.gguf import write_files  # noqa: PLC0415

        name, files = self.request.name, {}
        if "gguf" in self.request.settings.formats:
            files = write_files(Path(merge.path), self.stage / "gguf", name, self.request.settings.levels)
        if self._wants_adapter_gguf:
            files[ADAPTER] = self.stage / "lora" / f"{name}-{ADAPTER}.gguf"
            convert_adapter(self.stage / "lora", Path(self.request.base), files[ADAPTER])
        return files

    def _checked_onnx(self, merge: Merge) -> tuple[Agreement, ...]:
        """The ONNX file, held against the merged model. onnxruntime is imported here: an installation may lack it."""
        from core.exporting.onnx_check import check_onnx  # noqa: PLC0415

        with self._timed("convert"):
            file = write_onnx(Path(merge.path), self.stage / "onnx")
        with self._timed("check"):
            agreements = (check_onnx(file, merge, self.prompts, self.request.settings),)
            free_memory()
        require_agreement(self.request.name, agreements)
        return agreements

    def _publish_all(self, merge: Merge, agreements: tuple[Agreement, ...], missing: dict[str, str]) -> None:
        """The merged weights come last: moving their folder away must not take them from anyone."""
        if self._wants_lora:
            self._publish("lora", {}, agreements)
        for format_ in ("gguf", "onnx"):
            if (self.stage / format_).is_dir():
                self._publish(format_, {}, agreements)
        if "merged" in self.request.settings.formats:
            self._publish("merged", {"parity_kl": merge.parity_kl}, ())
        if not self.published and not missing:
            raise ExportError(
                f"nothing was published of {self.request.name}: format 'lora' needs a checkpoint that is an adapter; "
                "release it as 'merged' or 'gguf'"
            )

    def _publish(
        self, format_: ReleaseFormat, facts: dict[str, Any], agreements: tuple[Agreement, ...]
    ) -> None:
        folder, name = self.stage / format_, self.request.name
        own = tuple(row for row in agreements if (folder / row.file).is_file())
        self._card(format_, own)
        if own:
            facts = facts | {"agreements": [row.model_dump(mode="json") for row in own]}
        with self._timed("publish"):
            common = {"name": name, "tools": _tool_versions(), **facts}
            self.published.append(publish_folder(folder, self.root, name, format_, common))

    def _result(self, merge: Merge, agreements: tuple[Agreement, ...], missing: dict[str, str]) -> Release:
        """Verified is a release whose every format that can be served was; without any file it still has a digest."""
        return Release(
            name=self.request.name,
            check=ReleaseCheck.VERIFIED if agreements and not missing else ReleaseCheck.NOT_VERIFIED,
            reason="; ".join(missing.values()) or _reason(merge, agreements, self.left_out),
            sha256=digest(sorted(row.sha256 for row in self.published) or self.request.name),
            parameters=merge.parameters,
            parity_kl=merge.parity_kl,
            signal_kl=merge.signal_kl,
            published=tuple(self.published),
            agreements=agreements,
            left_out=self.left_out,
            seconds=self.seconds,
            modelfile=self.modelfile,
        )

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.perf_counter() - start, 2)


def dispensable(agreements: tuple[Agreement, ...], settings: ReleaseSettings) -> tuple[Agreement, ...]:
    """The files that a release can do without: quantised ones that lost too much, where another level is the model.

    None are when what fails is no matter of the level (a file that is not quantised), or the level that is to be served.
    """
    failed = tuple(row for row in agreements if row.status is ReleaseCheck.FAILED)
    needed = {NOT_QUANTISED, settings.ollama.level}
    if any(row.level not in LEVELS or row.level in needed for row in failed):
        return ()
    failing = {row.level for row in failed}
    return failed if any(level not in failing for level in settings.levels) else ()


def require_agreement(name: str, agreements: tuple[Agreement, ...]) -> None:
    """Raises: ExportError that names the first file that is not its model, with its figures and what to do."""
    for row in agreements:
        if row.status is ReleaseCheck.FAILED:
            raise ExportError(
                f"{row.file} is not the model it was made from (top-1 agreement {row.top1:.1%}, KL {row.kl:.3g} nats "
                f"a token, largest error of a log-probability {row.error_max:.3g}): {row.reason}; "
                f"{_remedy(name, row.level)}"
            )


def _remedy(name: str, level: str) -> str:
    better = LEVELS[: LEVELS.index(level)] if level in LEVELS else ()
    if better:
        return f"release {name} at a better level: {', '.join(better)}"
    return "this level rounds next to nothing, so merge or conversion went wrong: don't serve it"


def _reason(merge: Merge, agreements: tuple[Agreement, ...], left_out: tuple[Agreement, ...]) -> str:
    if not agreements:
        return f"no file was loaded as it would be served; merged weights answer as the adapter does (KL {merge.parity_kl:.2g} nats a token)"
    made = [
        f"{row.level}: top-1 {row.top1:.1%}, KL {row.kl:.2g}"
        + (f", largest error {row.error_max:.2g}" if row.level == ONNX else "")
        for row in agreements
    ]
    return "; ".join((*made, *(f"{row.level} left out: {row.reason}" for row in left_out)))


def _tool_versions() -> dict[str, str]:
    versions = {}
    for tool in _TOOLS:
        try:
            versions[tool] = version(tool)
        except PackageNotFoundError:
            versions[tool] = "not installed"
    return versions
