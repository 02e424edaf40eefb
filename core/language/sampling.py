"""How completions are drawn from a language model. Needs no torch, so that a config can hold it."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from core.record import Settings


class SamplingSettings(Settings):
    """Which distribution the tokens of a completion are drawn from, and where a completion ends."""

    temperature: float = Field(default=1.0, gt=0)
    """What the logits are divided by. The same distribution stands in the ratio, so it is trained as it is drawn."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the fewest most probable tokens that hold this much probability (Holtzman et al. 2020, arXiv:1904.09751)."""
    max_tokens: int = Field(default=128, ge=1)
    """Tokens of a completion at most, the stop token included; a completion cut here is not finished."""
    stop: tuple[str, ...] = ()
    """Texts that end a completion that is written freely; the tokenizer's own end always does."""
    json_schema: dict[str, Any] | None = None
    """Answers are JSON that this schema accepts, written with one space after `,` and `:` and none elsewhere."""

    @model_validator(mode="after")
    def _stops_say_something(self) -> Self:
        if "" in self.stop:
            raise ValueError(
                "stop holds an empty text, which ends every completion before it begins: remove it"
            )
        return self

    @model_validator(mode="after")
    def _json_ends_by_itself(self) -> Self:
        if self.stop and self.json_schema is not None:
            raise ValueError(
                "json_schema says itself where an answer ends, and a text of stop would cut one short: leave stop empty"
            )
        return self


class TorchRollouts(Settings):
    """Completions are drawn by the model that is trained, where it is trained."""

    backend: Literal["torch"] = "torch"


class VllmRollouts(Settings):
    """Completions are drawn by a vLLM server."""

    backend: Literal["vllm"] = "vllm"
    url: str
    """Where its OpenAI-compatible API begins, such as `http://localhost:8000/v1`."""
    model: str
    """What the server calls the policy: its model, or an adapter it has loaded."""
    timeout_s: float = Field(default=600.0, gt=0)
    """Seconds that all completions of one prompt may take."""

    def refusal(self, settings: SamplingSettings) -> str | None:
        """Why a server can't sample so: what it leaves out of a distribution does not come back from it."""
        asked = {"top_p": settings.top_p < 1, "json_schema": settings.json_schema is not None}
        missing = [f"sampling.{name}" for name, wanted in asked.items() if wanted]
        if not missing:
            return None
        return (
            f"rollout backend 'vllm' has no {' and no '.join(missing)}: the server does not say which tokens it left "
            "out; leave it at its default, or use backend 'torch'"
        )

    @model_validator(mode="after")
    def _url_is_one(self) -> Self:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(
                f"url '{self.url}' must begin with http:// or https://, such as http://localhost:8000/v1"
            )
        return self


RolloutBackend = Annotated[TorchRollouts | VllmRollouts, Field(discriminator="backend")]
"""Who draws the completions."""


def prompt_seed(seed: int, step: int, prompt_id: str) -> int:
    """The seed of one prompt's draws at one step: a resumed run draws the same, whatever else it draws."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{prompt_id}".encode()).digest()[:8], "big") >> 2


def before_stop(text: str, stops: Sequence[str]) -> str:
    """What a completion says: all before the first stop text. The token that completes one may say more after it."""
    places = [place for place in map(text.find, stops) if place >= 0]
    return text[: min(places)] if places else text
