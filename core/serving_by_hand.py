"""A person's word on which registered file the served name stands for at an Ollama server."""

from typing import TYPE_CHECKING, Any

from core.by_hand import ByHand
from core.config import load_config
from core.errors import PromotionError
from core.exporting.aliases import alias_name
from core.exporting.registration import deploy, released_candidate, roll_back
from core.exporting.results import Served
from core.exporting.serving import served_name
from core.store.registry import champion, released

if TYPE_CHECKING:
    from core.exporting.config import ReleaseSettings


def deploy_by_hand(
    word: ByHand, preset: str, overrides: dict[str, Any] | None, candidate: str | None
) -> Served:
    """Let the served name stand for a candidate (its name, or its digest's first letters), by default the champion's.

    Raises: PromotionError when there is no champion, or none with a GGUF file; ConfigError; ExportError when the server
    lacks the candidate; ServiceError, StoreError.
    """
    settings, name = _settings(word, preset, overrides)
    if candidate is None:
        candidate = _of_champion(word, settings, name)
    elif ":" not in candidate:
        candidate = f"{name}:{candidate}"
    return deploy(settings.ollama, name, candidate)


def roll_back_by_hand(word: ByHand, preset: str, overrides: dict[str, Any] | None) -> Served:
    """Let the served name stand for the model before again.

    Raises: ConfigError, ExportError when there is none, ServiceError.
    """
    settings, name = _settings(word, preset, overrides)
    return roll_back(settings.ollama, name)


def _settings(word: ByHand, preset: str, overrides: dict[str, Any] | None) -> tuple["ReleaseSettings", str]:
    """A use case's release settings for the slot, and the served name."""
    from core.use_cases import use_case_named  # noqa: PLC0415  (seconds to import, and every flow imports its tasks)

    named = use_case_named(word.use_case)
    config = load_config(named.config, named.name, preset, {**(overrides or {}), "slot": word.slot})
    return config.release, served_name(config.release.ollama, alias_name(named.name, config.slot))


def _of_champion(word: ByHand, settings: "ReleaseSettings", name: str) -> str:
    holder = champion(word.use_case, word.slot)
    files = released(holder.release) if holder else ()
    published = next((made for made in files if made.format == "gguf"), None)
    if published is None:
        raise PromotionError(
            f"the model in use of {word.use_case} '{word.slot}' has no released GGUF file: run release/gguf, or name a `candidate`"
        )
    return released_candidate(published, settings.ollama, settings.levels, name)
