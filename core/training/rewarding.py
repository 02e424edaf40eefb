"""What drawn completions are worth: by the row's own completions, or by a function that the settings name."""

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from core.dataset import ScoredGroup
from core.errors import FAILURES, ConfigError, OvernightError, TrainingError, one_line
from core.training.config import OnlineSettings

Reward = Callable[[ScoredGroup, Sequence[str]], list[float]]
"""A row and texts that were drawn for its prompt, to what each is worth; NaN where that is not known."""


def reward_of(settings: OnlineSettings, end: str) -> Reward:
    """The reward that settings name, of texts without what ended them: neither the token whose text is `end`, nor a text of
    `sampling.stop` (`before_stop`). Raises: ConfigError.
    """
    if settings.reward == "listed":
        return _listed(settings.unlisted_reward, (end, *settings.sampling.stop))
    return _called(settings.reward)


def _listed(unlisted: float, ends: Sequence[str]) -> Reward:
    def reward(row: ScoredGroup, texts: Sequence[str]) -> list[float]:
        known = zip(row.completions, row.rewards, strict=True)
        worth = {_without(ends, text): math.nan if value is None else value for text, value in known}
        return [worth.get(text, unlisted) for text in texts]

    return reward


def _without(ends: Sequence[str], text: str) -> str:
    for end in ends:
        text = text.removesuffix(end)
    return text


def _called(path: str) -> Reward:
    function = _imported(path)

    def reward(row: ScoredGroup, texts: Sequence[str]) -> list[float]:
        try:
            found = [math.nan if value is None else float(value) for value in _call(function, row, texts)]
        except OvernightError:
            raise
        except FAILURES as error:
            raise TrainingError(
                f"the reward {path} failed on row {row.id} ({type(error).__name__}: {one_line(error)}): repair it; the "
                "run goes on from its last checkpoint"
            ) from error
        if len(found) != len(texts):
            raise TrainingError(
                f"the reward {path} gave {len(found)} numbers for the {len(texts)} completions of row {row.id}: it must "
                "return one for each, None where it has none"
            )
        return [value if math.isfinite(value) else math.nan for value in found]

    return reward


def _call(function: Callable[..., Any], row: ScoredGroup, texts: Sequence[str]) -> list[Any]:
    return list(function(row.prompt, list(texts), dict(row.metadata)))


def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except FAILURES as error:
        raise ConfigError(
            f"online.reward '{path}' can't be imported ({type(error).__name__}: {one_line(error)}): give "
            "package.module:function of something installed where training runs"
        ) from error
    if not callable(function):
        raise ConfigError(f"online.reward '{path}' is a {type(function).__name__}, not a function")
    return function
