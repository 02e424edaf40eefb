"""Which rows can't be trained on, and why: every one of them is counted under its reason."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from core.dataset import ScoredGroup
from core.language.row import TokenGroup
from core.training.config import (
    DpoSettings,
    GrpoSettings,
    KtoSettings,
    MethodSettings,
    OnlineSettings,
    PpoSettings,
    online,
)
from core.training.pairs import preference_pairs


def unusable(
    row: ScoredGroup, tokens: TokenGroup, settings: MethodSettings, context_length: int
) -> str | None:
    """Why a method can't use a row, or None."""
    if not tokens.prompt:
        return "empty prompt"
    if online(settings):
        return _not_drawable(row, tokens, settings, context_length)
    if not tokens.completions:
        return "no completion"
    if not all(tokens.completions):
        return "empty completion"
    if tokens.longest > context_length:
        return "longer than the context"
    if settings.method != "sft" and not _rewarded(row):
        return "reward missing"
    return _BY_METHOD[settings.method](row, tokens, settings)


def _not_drawable(
    row: ScoredGroup, tokens: TokenGroup, settings: MethodSettings, context_length: int
) -> str | None:
    """Rows that completions can't be drawn for, or not scored; those that are the legal answers must fit."""
    drawing = online(settings) or OnlineSettings()
    limit = drawing.sampling.max_tokens
    if len(tokens.prompt) + limit > context_length:
        return "max_tokens reach beyond the context"
    if drawing.reward == "listed" and not _rewarded(row):
        return "reward missing"
    if drawing.answers == "listed":
        if not tokens.completions or not all(tokens.completions):
            return "empty completion"
        if len(set(tokens.completions)) < len(tokens.completions):
            return "an answer twice"
        if max(map(len, tokens.completions)) > limit:
            return "an answer longer than max_tokens"
    if isinstance(settings, PpoSettings) and not isinstance(row.metadata.get("step", 0), int):
        return "step is no whole number"
    return None


def _rewarded(row: ScoredGroup) -> bool:
    return bool(row.rewards) and all(reward is not None and math.isfinite(reward) for reward in row.rewards)


def _rewards(row: ScoredGroup) -> list[float]:
    return [reward for reward in row.rewards if reward is not None]


def _no_target(row: ScoredGroup, tokens: TokenGroup, settings: Any) -> str | None:
    del settings
    usable = all(0 <= weight < math.inf for weight in row.weights)  # NaN is not
    wanted = sum(row.weights) > 0 if row.weights else len(tokens.completions) == 1
    return None if usable and wanted else "no weights"


def _no_advantage(row: ScoredGroup, tokens: TokenGroup, settings: GrpoSettings) -> str | None:
    if len(tokens.completions) < 2:
        return "one completion"
    if settings.estimator == "logged" and len(tokens.completions) < settings.min_group_size:
        return "fewer completions than min_group_size"
    if settings.estimator != "logged" and len(set(tokens.completions)) < len(tokens.completions):
        return "an answer twice"
    if row.split == "train" and len(set(row.rewards)) == 1:  # held out, it still says what the policy does
        return "equal rewards"
    return None


def _no_pair(row: ScoredGroup, tokens: TokenGroup, settings: DpoSettings) -> str | None:
    if len(tokens.completions) < 2:
        return "one completion"
    if len(set(row.rewards)) == 1:
        return "equal rewards"
    if not preference_pairs(_rewards(row), tokens.completions, settings):
        return "no pair far enough apart"
    return None


def _no_side(row: ScoredGroup, tokens: TokenGroup, settings: KtoSettings) -> str | None:
    if settings.desirable_above != "mean":
        return None
    if len(tokens.completions) < 2:
        return "one completion"
    return "equal rewards" if len(set(row.rewards)) == 1 else None


def _no_decision(row: ScoredGroup, tokens: TokenGroup, settings: Any) -> str | None:
    del settings
    if len(tokens.completions) > 1:
        return "several completions"
    return None if isinstance(row.metadata.get("step", 0), int) else "step is no whole number"


_BY_METHOD: Mapping[str, Callable[[ScoredGroup, TokenGroup, Any], str | None]] = {
    "sft": _no_target,
    "grpo": _no_advantage,
    "dpo": _no_pair,
    "kto": _no_side,
    "ppo": _no_decision,
}
