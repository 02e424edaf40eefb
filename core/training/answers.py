"""The policy's own completions, scored: what is whole and has a score becomes a group to train on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedTokenizerBase

from core.language.merged import answering
from core.language.rollout import Rollout, stop_tokens
from core.language.row import TokenGroup
from core.language.sampling import TorchRollouts, before_stop, prompt_seed
from core.language.source import RolloutSource, rollout_source
from core.language.tokens import completion_text
from core.training.config import OnlineSettings
from core.training.data import TrainingGroup
from core.training.reference import StartWeights, attach, reference_logprobs
from core.training.rewarding import reward_of

HELD_OUT = -1
"""The step of draws for held-out prompts: always the same random numbers, so that looks differ by the policy only."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One prompt's draws: those that can be trained on, and what became of the others."""

    group: TrainingGroup
    drawn: int
    cut: int
    unscored: int
    tokens: int


class Answers:
    """Draws `count` completions for each prompt from a model as it is, and scores them."""

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        online: OnlineSettings,
        *,
        count: int,
        seed: int,
        start: StartWeights | None,
    ) -> None:
        self._model, self._tokenizer, self._online = model, tokenizer, online
        self._count, self._seed, self._start = count, seed, start
        self._stops = stop_tokens(model, tokenizer)
        self._source = rollout_source(online.rollout, online.sampling, model, tokenizer)
        self._own = rollout_source(TorchRollouts(), online.sampling, model, tokenizer)
        self._reward = reward_of(online, str(tokenizer.eos_token or ""))

    def draw(self, groups: Sequence[TrainingGroup], step: int) -> list[Answered]:
        """What the policy answers now; the same weights and step give the same. Raises: OvernightError."""
        return self._drawn(self._source, groups, step)

    def held_out(self, groups: Sequence[TrainingGroup]) -> list[TrainingGroup]:
        """What the model itself answers to held-out prompts: those with a usable completion. Raises: OvernightError."""
        answered = self._drawn(self._own, groups, HELD_OUT) if groups else []
        return self.with_reference([one.group for one in answered if one.group.rewards])

    def _drawn(self, source: RolloutSource, groups: Sequence[TrainingGroup], step: int) -> list[Answered]:
        listed = [group.tokens.completions for group in groups] if self._online.answers == "listed" else None
        drawn = source(
            [group.tokens.prompt for group in groups],
            self._count,
            seeds=[prompt_seed(self._seed, step, group.id) for group in groups],
            choices=listed,
        )
        return [self._answered(group, rollout) for group, rollout in zip(groups, drawn, strict=True)]

    def with_reference(self, groups: Sequence[TrainingGroup]) -> list[TrainingGroup]:
        """The same groups with their log-probabilities under the start, where those are wanted."""
        if self._start is None or not groups:
            return list(groups)
        with answering(self._model), self._start.in_place():
            return attach(groups, reference_logprobs(self._model, groups))

    def _answered(self, group: TrainingGroup, rollout: Rollout) -> Answered:
        whole = [place for place, end in enumerate(rollout.finished) if end or self._online.train_cut]
        rewards = self._scores(group, [rollout.completions[place] for place in whole])
        scored = {place: value for place, value in zip(whole, rewards, strict=True) if not math.isnan(value)}
        return Answered(
            group=_drawn(group, rollout, scored, self._online.sampling.temperature),
            drawn=self._count,
            cut=rollout.finished.count(False),
            unscored=len(whole) - len(scored),
            tokens=sum(map(len, rollout.completions)),
        )

    def _scores(self, group: TrainingGroup, completions: Sequence[tuple[int, ...]]) -> list[float]:
        if group.row is None or not completions:
            return []
        return self._reward(group.row, [self._text(tokens) for tokens in completions])

    def _text(self, tokens: tuple[int, ...]) -> str:
        """Without the token or the stop text that ended it: what rewards and rows know."""
        text = completion_text(self._tokenizer, tokens[:-1] if tokens[-1] in self._stops else tokens)
        return before_stop(text, self._online.sampling.stop)


def figures(answered: Sequence[Answered]) -> dict[str, float]:
    """The curves of a draw: mean reward, shares of completions that were cut or had no score, and tokens of each."""
    drawn = sum(one.drawn for one in answered)
    rewards = [reward for one in answered for reward in one.group.rewards]
    return {
        "cut": sum(one.cut for one in answered) / drawn,
        "unscored": sum(one.unscored for one in answered) / drawn,
        "length": sum(one.tokens for one in answered) / drawn,
        **({"reward": sum(rewards) / len(rewards)} if rewards else {}),
    }


def _drawn(
    group: TrainingGroup, rollout: Rollout, rewards: dict[int, float], temperature: float
) -> TrainingGroup:
    """A group of the completions that have a reward."""
    return replace(
        group,
        tokens=TokenGroup(rollout.prompt, tuple(rollout.completions[place] for place in rewards)),
        rewards=tuple(rewards.values()),
        weights=(),
        behaviour=tuple(value for place in rewards for value in rollout.logprobs[place]),
        allowed=tuple(rollout.allowed[place] for place in rewards),
        temperature=temperature,
    )
