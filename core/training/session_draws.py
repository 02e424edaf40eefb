"""PPO's draws: all logged states are answered by the policy as it is, and each session's answers valued together."""

from collections.abc import Mapping, Sequence

import torch

from core.errors import TrainingError
from core.language.merged import answering
from core.training.answers import Answered, Answers, figures
from core.training.config import PpoSettings
from core.training.data import TrainingGroup
from core.training.draws import Drawn
from core.training.schedule import GroupOrder
from core.training.sessions import advantages_of, prompt_values, scale_values, session_of, whitened
from core.training.value_head import value_head


class SessionDraws:
    """Algorithm 1 of Schulman et al. 2017: answer every state, estimate advantages, then pass over them K times."""

    def __init__(
        self, answers: Answers, settings: PpoSettings, model: torch.nn.Module, train: Sequence[TrainingGroup]
    ) -> None:
        self._answers, self._settings, self._model, self._train = answers, settings, model, train
        self._updates = GroupOrder(len(train), settings).updates
        self._iteration, self._kept = -1, dict[str, TrainingGroup]()
        self._curves: Mapping[str, float] = {}

    def batch(self, groups: Sequence[TrainingGroup], step: int) -> Drawn:
        """The decisions of sessions whose every answer can be used. Raises: TrainingError when there is none."""
        iteration = step // self._updates
        head = value_head(self._model)
        went_back = head is not None and head.new  # to the run's start
        if went_back or iteration != self._iteration:
            self._answer_all(iteration)
            self._iteration = iteration
        whole = [self._kept[group.id] for group in groups if group.id in self._kept]
        return Drawn(whole, curves=self._curves)

    def held_out(self, groups: Sequence[TrainingGroup]) -> Sequence[TrainingGroup]:
        """Those with a usable answer."""
        return self._answers.held_out(groups)

    def _answer_all(self, iteration: int) -> None:
        answered = self._answers.draw(self._train, iteration)
        whole, broken = _whole_sessions(answered)
        told = figures(answered) | {"broken_sessions": broken}
        if not whole:
            raise TrainingError(
                f"no session of iteration {iteration + 1} can be trained on: {told['cut']:.0%} of the answers were cut at "
                f"max_tokens and {told['unscored']:.0%} had no score; raise online.sampling.max_tokens, or look at the "
                "reward"
            )
        scale_values(self._model, whole, self._settings)
        with answering(self._model):
            values = prompt_values(self._model, whole)
        valued = advantages_of(whole, values, self._settings)
        if self._settings.whiten:
            valued = whitened(valued, valued)
        self._kept = {group.id: group for group in self._answers.with_reference(valued)}
        self._curves = told


def _whole_sessions(answered: Sequence[Answered]) -> tuple[list[TrainingGroup], float]:
    """The decisions of sessions without a gap, and the share of sessions with one."""
    broken = {session_of(one.group) for one in answered if not one.group.rewards}
    every = {session_of(one.group) for one in answered}
    whole = [one.group for one in answered if session_of(one.group) not in broken]
    return whole, len(broken) / len(every)
