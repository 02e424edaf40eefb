"""GRPO's draws: a batch's prompts are answered by the policy as it is, each by a group of completions."""

from collections.abc import Sequence
from dataclasses import replace

from core.training.answers import Answered, Answers, figures
from core.training.config import GrpoSettings
from core.training.data import TrainingGroup
from core.training.draws import Drawn


class GroupDraws:
    """Every batch is answered anew, and the answers are kept for `num_iterations` updates."""

    def __init__(self, answers: Answers, settings: GrpoSettings) -> None:
        self._answers, self._settings = answers, settings
        self._draw, self._kept = -1, dict[str, Answered]()

    def batch(self, groups: Sequence[TrainingGroup], step: int) -> Drawn:
        """The groups whose completions differ in reward: the others have no advantage, and count as 0 in the mean."""
        answered = self._answered(groups, step // self._settings.num_iterations)
        teaching = [one.group for one in answered if _teaches(one.group)]
        usable = sum(self._size(one.group) for one in answered)
        weight = sum(map(self._size, teaching)) / usable if usable else 0.0
        idle = 1 - len(teaching) / len(answered)
        return Drawn(teaching, weight, usable, figures(answered) | {"equal_rewards": idle})

    def held_out(self, groups: Sequence[TrainingGroup]) -> Sequence[TrainingGroup]:
        """Those with a usable completion."""
        return self._answers.held_out(groups)

    def _answered(self, groups: Sequence[TrainingGroup], draw: int) -> list[Answered]:
        if draw != self._draw:
            self._draw, self._kept = draw, {}
        fresh = {group.id: group for group in groups if group.id not in self._kept}
        answered = self._answers.draw(list(fresh.values()), draw) if fresh else []
        teaching = self._answers.with_reference([one.group for one in answered if _teaches(one.group)])
        finished = {group.id: group for group in teaching}
        for one in answered:
            name = one.group.id
            self._kept[name] = replace(one, group=finished.get(name, one.group))
        return [self._kept[group.id] for group in groups]

    def _size(self, group: TrainingGroup) -> int:
        """What a group counts in the loss's mean."""
        completions = group.tokens.completions
        return len(completions) if self._settings.loss_type == "sequence" else sum(map(len, completions))


def _teaches(group: TrainingGroup) -> bool:
    return len(set(group.rewards)) > 1
