"""Which rows can't be trained on, and why: every one of them is counted under its reason."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from core.dataset import ScoredGroup, Snapshot
from core.decision import Feedback
from core.errors import DataError
from core.given_split import NAMES, logged_in, named_in
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


def nothing_left(
    snapshot: Snapshot, settings: MethodSettings, splits: Mapping[str, int], left_out: Mapping[str, int]
) -> DataError:
    """Why there is nothing to train on, and what to do about most of it; `splits` are the rows as they were read."""
    rows, to_train_on = sum(splits.values()), splits.get("train", 0)
    if not rows:
        why = "it has no rows: collect some"
    elif not to_train_on:
        named = ", ".join(f"'{split}'" for split in sorted(splits))
        why = f"all {rows} rows are held out (split {named}): give those to train on the split 'train'"
    else:
        causes = [
            reason for reason in left_out if reason != INCOMPLETE
        ]  # which follows from one of the others
        remedy = _REMEDIES.get(max(causes, key=lambda reason: left_out[reason]), _COLLECT)
        why = f"{to_train_on} of {rows} rows are for that, and left out are {dict(left_out)}: {remedy}"
    return DataError(f"{snapshot.path} leaves nothing to train on by {settings.method}: {why}")


INCOMPLETE = "session incomplete"
"""The reason of a decision that could be used, in a session of which another can't."""
_COLLECT = "collect more rows, or look at the reward"
_WRITER = "repair the stage that writes them"
_REMEDIES = {
    "max_tokens reach beyond the context": "lower online.sampling.max_tokens, or shorten the prompts",
    "an answer longer than max_tokens": "raise online.sampling.max_tokens",
    "longer than the context": "shorten them, or take a model with a longer context_length",
    "reward missing": "run the stage that scores them",
    "no weights": "give every row a weight above 0 for what is to be imitated",
    "not accepted by its user": "collect more feedback, or give a row what is right as its completion, with weights [1.0]",
    "no completion": "run the stage that answers them, or train by a method that draws completions itself",
    "older than max_age_days": "raise guards.max_age_days, or collect newer rows",
    "more than max_versions_behind": "raise guards.max_versions_behind, or collect newer rows",
    "fewer completions than min_group_size": "lower min_group_size, or collect larger groups",
    "no pair far enough apart": "lower min_difference, or look at the reward",
    "several completions": "give each row the one completion that was chosen, or train by another method",
    "one completion": "collect several completions a prompt, or train by a method that takes one",
    "empty prompt": _WRITER,
    "empty completion": _WRITER,
    "an answer twice": _WRITER,
    "step is no whole number": _WRITER,
    "logged_at is no ISO time": _WRITER,
    "policy_version is no whole number": _WRITER,
    "id twice": _WRITER,
}
"""By the reason that most rows were left out for; where they have nothing to tell apart, more rows may."""


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
    if not usable or not wanted:
        return "no weights"
    return None if row.weights or _is_accepted(row) else "not accepted by its user"


def _is_accepted(row: ScoredGroup) -> bool:
    """Whether the one completion may be imitated: confirmed, or what was right; where nobody was asked, it may."""
    known = logged_in(row.metadata)
    if not any(name in known for name in NAMES["feedback"]):
        return True
    answer = row.completions[0].strip()
    return named_in(known, "feedback") == Feedback.CONFIRMED or known.get("truth") == answer


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
