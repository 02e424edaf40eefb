"""How a released GGUF file is served by Ollama: where the server is, under which name, and how it is asked. Imports no torch."""

import os
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from core.errors import ConfigError
from core.record import Settings

Ask = Literal["raw", "chat"]
Parameter = bool | int | float

DEFAULT_URL = "http://127.0.0.1:11434"
ADDRESS = "OLLAMA_HOST"
"""The environment variable that Ollama's own programs read."""
PARAMETERS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "seed",
    "num_ctx",
    "num_predict",
    "num_keep",
    "num_batch",
    "num_gpu",
    "num_thread",
    "main_gpu",
    "use_mmap",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
)
"""What Ollama 0.33 takes, save `stop` (a setting of its own here); `typical_p` it refuses."""
PASSED_ON = "passthrough"
"""The parser that lets a Go template hold: without one, Ollama asks through the file's own chat template wherever that
can do more (tools, say), whatever template it was given."""
LINE_END = "\n"
QUOTES = '"""'
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAME = re.compile(rf"(?:[A-Za-z0-9_][A-Za-z0-9_-]{{0,79}}/)?{_PART}")


class OllamaSettings(Settings):
    """The part of a release's settings that says how its GGUF file is asked, and whether a server gets it."""

    enabled: bool = False
    """Register every released GGUF file with the server, as a candidate under its digest."""
    url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+")
    """Where the server answers; null: OLLAMA_HOST, else this machine's port 11434."""
    served_name: str | None = None
    """The name that apps ask for; null: `<use case>-<slot>`."""
    auto_deploy: bool = False
    """Move the served name to the champion's file; else that is done by hand (`release/deploy`)."""
    level: str | None = None
    """Which of the release's levels is served, and can't be left out; null: the last one listed of those released."""
    ask: Ask = "raw"
    """raw: the prompt as it stands, as the model was trained; chat: in the tokenizer's own chat template."""
    system: str = ""
    """What every chat begins with."""
    stop: tuple[str, ...] | None = None
    """Texts that end an answer, beside the tokens that do; null: the end of a line when asked raw, none in a chat."""
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    """Ollama's own parameters by name: {temperature: 0, num_ctx: 4096}."""
    timeout_s: float = Field(default=600, gt=0)
    """How long the server may take for one answer; it hashes a whole file, and loads one, in that time."""

    @field_validator("served_name")
    @classmethod
    def _well_formed(cls, name: str | None) -> str | None:
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError(
                f"'{name}' is no name for Ollama: letters, digits and _ . - without a tag (the tags are the digests)"
            )
        return name

    @field_validator("parameters")
    @classmethod
    def _known(cls, value: dict[str, Parameter]) -> dict[str, Parameter]:
        unknown = [name for name in value if name not in PARAMETERS]
        if unknown:
            raise ValueError(f"unknown parameter {', '.join(unknown)}: choose from {', '.join(PARAMETERS)}")
        return value

    @field_validator("stop")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value and not all(value):
            raise ValueError("an empty text would end every answer before it began")
        if any(QUOTES in text for text in value or ()):
            raise ValueError(f"a text with {QUOTES} has no way into a Modelfile")
        return value

    @model_validator(mode="after")
    def _system_in_a_chat(self) -> "OllamaSettings":
        if self.system and self.ask == "raw":
            raise ValueError(
                "a system prompt has no place in a raw prompt: set ask: chat, or leave system out"
            )
        if QUOTES in self.system:
            raise ValueError(f"system can't hold {QUOTES}: a Modelfile has no way to write it")
        return self

    @property
    def address(self) -> str:
        """Where the server is looked for."""
        return self.url or os.environ.get(ADDRESS) or DEFAULT_URL

    def served_first(self, levels: tuple[str, ...]) -> tuple[str, ...]:
        """A release's levels as they would be served: the first of these that was released is."""
        return (self.level,) if self.level else levels[::-1]

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer, beside the tokens that do."""
        if self.stop is not None:
            return self.stop
        return (LINE_END,) if self.ask == "raw" else ()


def served_name(settings: OllamaSettings, alias: str) -> str:
    """The name that apps ask for; `alias` where the settings give none. Raises: ConfigError."""
    name = settings.served_name or alias
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' is no name for Ollama (letters, digits, _ . -): set release.ollama.served_name"
        )
    return name
