"""What a release makes, and how far an exported file may be from the model it was made from. Imports no torch."""

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator, model_validator

from core.exporting.serving import OllamaSettings
from core.record import Record, Settings

ReleaseFormat = Literal["lora", "merged", "gguf", "onnx"]
WeightType = Literal["float32", "bfloat16", "float16"]

LEVELS = ("f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m")
"""The quantisation levels of GGUF, best first."""

NOT_QUANTISED = "f16"
"""Every other level is made from this file, so it is always made and checked, released or not: it must be the model to
rounding, and what quantising costs can't hide an adapter that was not merged, or a tensor out of its place."""

MOST_KL_RATIO = 2.0
"""KL(model to file) over the same for the base model: how much worse than usual a model may quantise. Adapters measured
0.07 to 1.03 at five levels of SmolLM2-135M; one that DPO had moved far, 1.6 at q8_0, and that file preferred the same answer as
its model in 98 % of 110 held-out pairs. The base model's own loss is measured, so one limit serves all models."""

ONNX = "onnx"
"""The level of an ONNX file, in caps and agreements: float32, so it is held to rounding."""

SMALL_MODEL = 1e9
LARGE_MODEL = 7e9


class Cap(Settings):
    """The farthest an exported file may be from its model; each is held against the figure minus two standard errors."""

    kl: float = Field(gt=0)
    """Mean KL divergence a token, in nats, model to file."""
    top1: float = Field(ge=0, le=1)
    """Share of tokens whose likeliest successor is the same."""
    choice: float = Field(ge=0, le=1)
    """Share of decisions (likeliest among the legal answers) that are the same."""
    kl_max: float | None = Field(default=None, gt=0)
    """KL divergence of the worst token, in nats; null: no limit."""
    error_max: float | None = Field(default=None, gt=0)
    """Difference of any token's log-probability, over the whole vocabulary; null: no limit."""


_SMALL_CAPS = {
    NOT_QUANTISED: Cap(kl=1e-4, top1=0.98, choice=0.98, kl_max=0.02),
    "q8_0": Cap(kl=0.02, top1=0.93, choice=0.90),
    "q6_k": Cap(kl=0.20, top1=0.82, choice=0.80),
    "q5_k_m": Cap(kl=0.30, top1=0.78, choice=0.75),
    "q4_k_m": Cap(kl=0.30, top1=0.78, choice=0.75),
    "q3_k_m": Cap(kl=0.60, top1=0.65, choice=0.60),
}
"""Under a billion parameters: what SmolLM2-135M measured, with room; q6_k lies between its neighbours, unmeasured.

A drafter after 400 examples, merged as bf16, on 64 held-out prompts (KL; top-1; same decision): f16 1.6e-6, 99.9 %,
100 %; q8_0 .003, 95.3 %, 95.3 %; q5_k_m .059, 86.4 %, 79.7 %; q4_k_m .036, 88.9 %, 81.3 %. General text loses more (q5_k_m
.21, q4_k_m .15, q3_k_m .34). Rows of 576 take few K-quants, so q5_k_m and q4_k_m are mostly other types here.
At f16 the KL is what tells: near ties among the tokens of a prompt flip at 3e-5 nats, so top-1 may fall to 98 % (99.0 %
measured on another drafter), and a model that was not merged, or merged at another scale, is off by 1e-2 and more."""

_LARGE_CAPS = {
    NOT_QUANTISED: Cap(kl=1e-4, top1=0.995, choice=0.98, kl_max=0.02),
    "q8_0": Cap(kl=0.004, top1=0.96, choice=0.95),
    "q6_k": Cap(kl=0.0165, top1=0.93, choice=0.92),
    "q5_k_m": Cap(kl=0.03, top1=0.90, choice=0.90),
    "q4_k_m": Cap(kl=0.09, top1=0.85, choice=0.85),
    "q3_k_m": Cap(kl=0.30, top1=0.75, choice=0.75),
}
"""From seven billion. Estimates: three times the KL llama.cpp publishes for Llama-3-8B (tools/perplexity/README.md), and
agreements to go with them. No model of this size was exported and measured here."""

_ONNX_CAP = Cap(kl=1e-6, top1=0.995, choice=0.99, kl_max=1e-4, error_max=1e-3)
"""Nothing is rounded, only summed in another order. SmolLM2-135M, over 2,096 tokens of prose and 24 decisions: KL below 1e-8,
3.4e-7 at the worst token, top-1 and decisions 100 %, no log-probability off by more than 7.2e-5. The largest error is what
tells a damaged file: one of its 135 million weights with the other sign (0.04) moved a log-probability by 5.4e-3, at KL 1e-7
and top-1 100 %. Larger models were not measured; `caps` may set theirs under 'onnx'."""


def default_cap(level: str, parameters: int) -> Cap:
    """The cap of a level for a model of so many parameters.

    Between small and large it is half-way, an estimate like the large ones.
    """
    if level == ONNX:
        return _ONNX_CAP
    small, large = _SMALL_CAPS[level], _LARGE_CAPS[level]
    if parameters < SMALL_MODEL:
        return small
    if parameters >= LARGE_MODEL:
        return large
    return Cap(
        kl=math.sqrt(small.kl * large.kl),
        top1=(small.top1 + large.top1) / 2,
        choice=(small.choice + large.choice) / 2,
        kl_max=small.kl_max,
    )


class ReleaseSettings(Settings):
    """The part of a use case's configuration that says what is released."""

    formats: tuple[ReleaseFormat, ...] = Field(default=("lora", "merged", "gguf"), min_length=1)
    levels: tuple[str, ...] = Field(default=("f16", "q8_0"), min_length=1)
    """Quantisation levels of the GGUF files; one that loses too much of the model is left out where another is released."""
    merged_type: WeightType = "float32"
    """How merged weights are stored; they are always merged in float32."""
    adapter_gguf: bool = False
    """With 'lora', publish the adapter as GGUF too, for llama.cpp's `--lora`; checked over the base model's f16 file."""
    prompts: int = Field(default=64, ge=1)
    """Held-out prompts whose decision is compared."""
    token_positions: int = Field(default=2048, ge=1)
    """Tokens, of the first of these prompts, at which the whole distribution is compared."""
    caps: dict[str, Cap] = Field(default_factory=dict)
    """Caps by level that replace the defaults for the model's size, which are estimates above a billion parameters."""
    ollama: OllamaSettings = OllamaSettings()
    """How the GGUF file is served, and whether an Ollama server gets it."""

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _require_known(value, LEVELS)
        return value

    @field_validator("caps")
    @classmethod
    def _known_caps(cls, value: dict[str, Cap]) -> dict[str, Cap]:
        _require_known(value, (*LEVELS, ONNX))
        return value

    @model_validator(mode="after")
    def _served_level(self) -> "ReleaseSettings":
        if self.ollama.level is not None and self.ollama.level not in self.levels:
            raise ValueError(
                f"ollama.level '{self.ollama.level}' is not released: choose from {', '.join(self.levels)}"
            )
        return self

    def cap(self, level: str, parameters: int) -> Cap:
        """The cap that holds for a level at a model's size."""
        return self.caps.get(level) or default_cap(level, parameters)


def _require_known(levels: Iterable[str], known: tuple[str, ...]) -> None:
    unknown = [level for level in levels if level not in known]
    if unknown:
        raise ValueError(f"unknown quantisation level {', '.join(unknown)}: choose from {', '.join(known)}")


class ReplayPrompt(Record):
    """A held-out prompt, and the answers that were legal after it (none when the answer is free text)."""

    prompt: str
    completions: tuple[str, ...] = ()


class CardFacts(Record):
    """What the model card says beside the figures of the export."""

    base_model: str
    """The public id of the base model; of a local folder only its name is written."""
    license: str
    summary: str
    method: str
    """How it was trained: 'SFT, then GRPO'."""
    data: dict[str, str] = Field(default_factory=dict)
    """Snapshots by name, with their digest."""
    training: dict[str, str] = Field(default_factory=dict)
    evaluation: dict[str, str] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    language: str = "en"


class ReleaseRequest(Record):
    """A checkpoint to export: its adapter, the base model's folder, and what to replay."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    base: str
    """Folder of the base model: safetensors, tokenizer and chat template."""
    adapter: str | None = None
    """Folder of the PEFT adapter; None releases the base model itself."""
    prompts: tuple[ReplayPrompt, ...] = Field(min_length=1)
    facts: CardFacts
    settings: ReleaseSettings = Field(default_factory=ReleaseSettings)
    switch_alias: bool = True
    """Let `<name>-<format>` point at the new folders; False leaves that to `switch_alias` after promotion."""
