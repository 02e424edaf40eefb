"""Which completions of a group are preferred over which others, by their rewards."""

from collections.abc import Iterable, Sequence

from core.training.config import DpoSettings, KtoSettings, MethodSettings

Pair = tuple[int, int]
"""Places of the better and the worse completion in their group."""


def preference_pairs(
    rewards: Sequence[float], completions: Sequence[tuple[int, ...]], settings: DpoSettings
) -> list[Pair]:
    """A group's pairs, the largest difference in reward first; equal rewards and equal completions make no pair.

    Among equal differences every completion has its turn before one comes twice.
    """
    best = max(rewards)
    found = [
        (better, worse)
        for better, high in enumerate(rewards)
        for worse, low in enumerate(rewards)
        if high - low > settings.min_difference
        and completions[better] != completions[worse]
        and (settings.pairs == "all" or high == best)
    ]
    found.sort(key=lambda pair: (rewards[pair[1]] - rewards[pair[0]], _turn(rewards, pair)))
    return found[: settings.max_pairs]


def _turn(rewards: Sequence[float], pair: Pair) -> int:
    """The diagonal of a pair in the table of all completions with the one reward against all with the other."""
    better, worse = (rewards[: pair[side]].count(rewards[pair[side]]) for side in (0, 1))
    return (worse - better) % max(rewards.count(rewards[pair[0]]), rewards.count(rewards[pair[1]]))


def with_class_weights(settings: MethodSettings, rewards: Iterable[Sequence[float]]) -> MethodSettings:
    """Settings whose weights balance the completions of groups with these rewards, where they ask for it (KTO, section 4.2)."""
    if not isinstance(settings, KtoSettings) or not settings.balanced:
        return settings
    kinds = [wanted for of_group in rewards for wanted in desirable(of_group, settings)]
    liked, disliked = kinds.count(True), kinds.count(False)
    weights = {
        "desirable_weight": max(1.0, disliked / liked) if liked else 1.0,
        "undesirable_weight": max(1.0, liked / disliked) if disliked else 1.0,
    }
    return settings.model_copy(update=weights)


def desirable(rewards: Sequence[float], settings: KtoSettings) -> list[bool]:
    """Whether each completion of a group is one to have more of."""
    limit = settings.desirable_above
    limit = sum(rewards) / len(rewards) if limit == "mean" else limit
    return [reward > limit for reward in rewards]
