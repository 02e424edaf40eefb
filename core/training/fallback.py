"""Stale groups for methods that need no importance ratio: pairs from their rewards, or the best of each."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from core.errors import DataError
from core.language.row import TokenGroup
from core.training.config import DpoSettings, TrainingSettings
from core.training.data import GroupData, TrainingGroup
from core.training.pairs import preference_pairs


def shared_settings(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that every method has, as another method takes them."""
    return {name: getattr(settings, name) for name in TrainingSettings.model_fields}


def as_pairs(data: GroupData, settings: DpoSettings) -> GroupData:
    """The groups that hold a pair. Raises: DataError when none to train on does."""

    def paired(group: TrainingGroup) -> TrainingGroup | None:
        return group if preference_pairs(group.rewards, group.tokens.completions, settings) else None

    return _changed(data, paired, "no pair far enough apart")


def as_best(data: GroupData) -> GroupData:
    """Every group's best completion alone, the first of equals. Raises: DataError when no group has one."""
    return _changed(data, _best, "equal rewards")


def _best(group: TrainingGroup) -> TrainingGroup | None:
    if len(set(group.rewards)) == 1:
        return None
    place = group.rewards.index(max(group.rewards))
    tokens = TokenGroup(group.tokens.prompt, (group.tokens.completions[place],))
    return replace(
        group, tokens=tokens, rewards=(group.rewards[place],), weights=(1.0,), reference=(), behaviour=()
    )


def _changed(
    data: GroupData, change: Callable[[TrainingGroup], TrainingGroup | None], reason: str
) -> GroupData:
    def kept(groups: Sequence[TrainingGroup]) -> tuple[TrainingGroup, ...]:
        return tuple(changed for changed in map(change, groups) if changed is not None)

    train, held_out = kept(data.train), kept(data.held_out)
    lost = len(data.train) + len(data.held_out) - len(train) - len(held_out)
    if not train:
        raise DataError(
            f"the logged completions are stale, and all {len(data.train)} groups are left out of the fallback "
            f"({reason}): collect newer rows, or set on_stale to refuse"
        )
    dropped = Counter(data.dropped) + Counter({reason: lost})
    return replace(data, train=train, held_out=held_out, dropped=dict(dropped))
