"""What each decision was worth: advantages over the sessions they belong to, by the value head as it is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch

from core.language.row import slices
from core.training.actor_critic import gae
from core.training.batch import padded
from core.training.config import PpoSettings
from core.training.data import Decision, GroupData, TrainingGroup
from core.training.reference import EVALUATION_TOKENS
from core.training.value_head import logprobs_and_values, value_head


def with_advantages(model: torch.nn.Module, data: GroupData, settings: PpoSettings) -> GroupData:
    """The same groups, each decision with its value, advantage and target under the model as it is now.

    `whiten` brings the advantages of the training decisions to mean 0 and deviation 1, and the held-out ones by the same.
    """
    scale_values(model, data.train, settings)
    train, held_out = (
        advantages_of(groups, prompt_values(model, groups), settings) if groups else []
        for groups in (data.train, data.held_out)
    )
    if settings.whiten:
        train, held_out = whitened(train, train), whitened(held_out, train)
    return replace(data, train=tuple(train), held_out=tuple(held_out))


def scale_values(model: torch.nn.Module, groups: Sequence[TrainingGroup], settings: PpoSettings) -> None:
    """Bring a new value head to the size of these sessions' discounted returns; one that has met returns keeps its own."""
    head = value_head(model)
    if head is not None and head.new:
        whole = settings.model_copy(update={"lam": 1.0})  # advantages over values of 0 are then the returns
        valued = advantages_of(groups, [0.0] * len(groups), whole)
        head.scale_to(torch.tensor([_decision(group).target for group in valued]))


@torch.no_grad()
def prompt_values(model: torch.nn.Module, groups: Sequence[TrainingGroup]) -> list[float]:
    """What the value head expects at each group's prompt, in units of reward."""
    model.eval()
    tokens = [group.tokens for group in groups]
    return [
        value
        for part in slices(tokens, EVALUATION_TOKENS)
        for value in logprobs_and_values(model, tokens[part])[1].tolist()
    ]


def advantages_of(
    groups: Sequence[TrainingGroup], values: Sequence[float], settings: PpoSettings
) -> list[TrainingGroup]:
    """Generalised advantages over every session, whose decisions come in the order of their steps; it ends with them."""
    sessions: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        sessions[_decision(group).session].append(place)
    for places in sessions.values():
        places.sort(key=lambda place: _decision(groups[place]).step)
    rows = list(sessions.values())
    width = max(map(len, rows))
    legal_S_T = padded(([1.0] * len(places) for places in rows), width).bool()
    advantages_S_T = gae(
        padded(([groups[place].rewards[0] for place in places] for places in rows), width),
        padded(([values[place] for place in places] for places in rows), width),
        torch.zeros(len(rows)),
        legal_S_T,
        gamma=settings.gamma,
        lam=settings.lam,
    )
    order = [place for places in rows for place in places]
    found = dict(zip(order, advantages_S_T[legal_S_T].tolist(), strict=True))
    return [
        _worth(group, value, found[place])
        for place, (group, value) in enumerate(zip(groups, values, strict=True))
    ]


def _worth(group: TrainingGroup, value: float, advantage: float) -> TrainingGroup:
    decision = replace(_decision(group), value=value, advantage=advantage, target=value + advantage)
    return replace(group, decision=decision)


def whitened(groups: Sequence[TrainingGroup], by: Sequence[TrainingGroup]) -> list[TrainingGroup]:
    """Advantages as deviations from the mean of `by`'s, in its standard deviations; one decision alone has none."""
    if len(by) < 2:
        return list(groups)
    advantages_D = torch.tensor([_decision(group).advantage for group in by])
    mean, deviation = advantages_D.mean().item(), advantages_D.std().item() + 1e-8
    done = []
    for group in groups:
        decision = _decision(group)
        advantage = (decision.advantage - mean) / deviation
        done.append(replace(group, decision=replace(decision, advantage=advantage)))
    return done


def session_of(group: TrainingGroup) -> str:
    """The session a decision belongs to."""
    return _decision(group).session


def _decision(group: TrainingGroup) -> Decision:
    return group.decision or Decision(group.id, 0)
