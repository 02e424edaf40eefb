"""Snapshot rows as token groups."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import ValidationError
from transformers import PreTrainedTokenizerBase

from core.dataset import ScoredGroup, Snapshot, read_rows
from core.errors import DataError
from core.held_out import TEST, TRAIN, VALIDATION
from core.language.distribution import Bits
from core.language.row import TokenGroup
from core.language.tokens import completion_tokens, prompt_tokens
from core.training.age import AgeLimits
from core.training.behaviour import Known, token_behaviour
from core.training.config import KtoSettings, MethodSettings, PpoSettings, active_guards, online
from core.training.left_out import INCOMPLETE, nothing_left, unusable


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a group stands in a session, and what its one completion was worth there (PPO)."""

    session: str
    step: int
    value: float = 0.0
    """What the value head expected here before training, in units of reward."""
    advantage: float = 0.0
    target: float = 0.0
    """What the value head is to expect: the value plus the advantage."""


@dataclass(frozen=True, slots=True)
class TrainingGroup:
    """One group ready for training: tokens, and what each completion was worth or how much to imitate it."""

    id: str
    tokens: TokenGroup
    rewards: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    """Log-probability of every completion token under the policy that training started from."""
    behaviour: tuple[float, ...] = ()
    """The same under the policy that drew the token; NaN where that is not known, nothing where it never is."""
    mismatched: int = 0
    """How many of the completions, at the end, belong to another prompt and have no reward (KTO's reference point)."""
    decision: Decision | None = None
    row: ScoredGroup | None = None
    """What completions are still to be drawn for."""
    allowed: tuple[Bits | None, ...] = field(default=(), compare=False)
    """What every token of each drawn completion could have been (core/language/rollout.py)."""
    temperature: float = 1.0
    """At which the completions were drawn."""

    @property
    def own(self) -> int:
        """How many completions are the prompt's own."""
        return len(self.tokens.completions) - self.mismatched

    @property
    def old(self) -> tuple[float, ...]:
        """What a ratio divides by: the behaviour where it is known, else the reference."""
        if not self.behaviour or not self.reference:
            return self.behaviour or self.reference
        known = zip(self.behaviour, self.reference, strict=True)
        return tuple(start if math.isnan(logged) else logged for logged, start in known)


@dataclass(frozen=True, slots=True)
class GroupData:
    """What training reads, what it is held to, and what was left out for which reason."""

    train: tuple[TrainingGroup, ...]
    held_out: tuple[TrainingGroup, ...]
    dropped: dict[str, int]
    behaviour: Mapping[Known, int] = field(default_factory=dict)
    """Completions of logged groups by what is known of the policy that drew them."""

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with completion."""
        return max(group.tokens.longest for group in (*self.train, *self.held_out))

    @property
    def said(self) -> str:
        """How much there is, for a person."""
        left_out = sum(self.dropped.values())
        return f"{len(self.train)} groups to train on, {len(self.held_out)} held out, {left_out} left out"


def load_groups(
    snapshot: Snapshot, tokenizer: PreTrainedTokenizerBase, settings: MethodSettings, context_length: int
) -> GroupData:
    """A snapshot's groups, tokenised; rows that can't be trained on are left out and counted.

    An id stands for one row, the first that can be used: what is drawn for a group is drawn, seeded and kept by it.

    Raises: DataError when nothing is left to train on, or a row breaks the contract; SnapshotError.
    """
    train: list[TrainingGroup] = []
    watched: dict[str, list[TrainingGroup]] = {VALIDATION: [], TEST: []}
    dropped: Counter[str] = Counter()
    broken: set[str] = set()
    known: Counter[Known] = Counter()
    splits: Counter[str] = Counter()
    ages, seen = AgeLimits.of(snapshot, settings), set[str]()
    for values in read_rows(snapshot):
        row = _row(values, snapshot)
        splits[row.split] += 1
        group = _tokenise(row, tokenizer, settings)
        reason = ages.too_old(row) or unusable(row, group.tokens, settings, context_length)
        reason = reason or ("id twice" if row.id in seen else None)
        if reason:
            dropped[reason] += 1
            broken.add(_session(row))
        else:
            seen.add(row.id)
            if active_guards(settings):
                group = replace(group, behaviour=token_behaviour(row, group.tokens, known))
            (
                train if row.split == TRAIN else watched[VALIDATION if row.split == VALIDATION else TEST]
            ).append(group)
    held_out = watched[VALIDATION] or watched[TEST]
    if isinstance(settings, PpoSettings):
        train, held_out = (_whole_sessions(groups, broken, dropped) for groups in (train, held_out))
    if not train:
        raise nothing_left(snapshot, settings, splits, dropped)
    _one_shape(train + held_out, settings, snapshot)
    held_out = list(evenly(held_out, settings.eval_groups))
    if isinstance(settings, KtoSettings):
        train, held_out = (with_mismatched(groups, context_length) for groups in (train, held_out))
        if not any(group.mismatched for group in train):
            raise DataError(
                f"{snapshot.path} has one prompt only, and kto measures its reference point on completions of another "
                "prompt: collect more rows, or train by dpo"
            )
    return GroupData(tuple(train), tuple(held_out), dict(dropped), known)


def with_mismatched(groups: Sequence[TrainingGroup], context_length: int) -> list[TrainingGroup]:
    """Give every prompt as many completions of the group before it as it has own ones (the first, those of the last).

    On groups of one completion these are TRL's mismatched pairs, a batch being all groups. What would be longer than the
    context, and what answers the same prompt, is left out.
    """
    found = []
    for group, before in zip(groups, [*groups[-1:], *groups[:-1]], strict=True):
        room = context_length - len(group.tokens.prompt)
        others = [before.tokens.completions[place % before.own] for place in range(group.own)]
        others = [tokens for tokens in others if len(tokens) <= room]
        if before.tokens.prompt == group.tokens.prompt:
            others = []
        tokens = TokenGroup(group.tokens.prompt, (*group.tokens.completions, *others))
        found.append(replace(group, tokens=tokens, mismatched=len(others)))
    return found


def _whole_sessions(
    groups: Sequence[TrainingGroup], broken: set[str], dropped: Counter[str]
) -> list[TrainingGroup]:
    """Without the sessions of which a decision is missing: its reward would be lost to those before it."""
    whole = [group for group in groups if group.decision and group.decision.session not in broken]
    if len(whole) < len(groups):
        dropped[INCOMPLETE] += len(groups) - len(whole)
    return whole


def evenly(groups: Sequence[TrainingGroup], count: int) -> tuple[TrainingGroup, ...]:
    """At most `count` groups, spread evenly over all of them."""
    count = min(count, len(groups))
    return tuple(groups[place * len(groups) // count] for place in range(count))


def _row(values: dict[str, object], snapshot: Snapshot) -> ScoredGroup:
    try:
        return ScoredGroup.model_validate(values)
    except ValidationError as error:
        raise DataError(
            f"{snapshot.path}: row {values.get('id', '?')} is no group of completions ({error.errors()[0]['msg']}): "
            "run the stage that writes it again"
        ) from error


def _tokenise(
    row: ScoredGroup, tokenizer: PreTrainedTokenizerBase, settings: MethodSettings
) -> TrainingGroup:
    """Completions without a reward are left out of logged groups by the stage that writes them; here they are NaN."""
    tokens = TokenGroup(
        prompt_tokens(tokenizer, row.prompt),
        tuple(completion_tokens(tokenizer, completion) for completion in row.completions),
    )
    rewards = tuple(math.nan if reward is None else reward for reward in row.rewards)
    total = sum(row.weights)
    weights = (
        tuple(weight / total for weight in row.weights) if total > 0 else (1.0,) * (len(row.completions) == 1)
    )
    decision = None
    if isinstance(settings, PpoSettings):
        decision = Decision(_session(row), row.metadata.get("step", 0))
    drawn_for = row if online(settings) else None
    return TrainingGroup(row.id, tokens, rewards, weights, decision=decision, row=drawn_for)


def _session(row: ScoredGroup) -> str:
    """The session a decision belongs to; one that names none is a session of its own."""
    return str(row.metadata.get("session", row.id))


def _one_shape(groups: list[TrainingGroup], settings: MethodSettings, snapshot: Snapshot) -> None:
    """SFT reads either single completions or choices: one loss is a mean over tokens, the other over groups.

    And who draws answers from a list must have a list.
    """
    single = {len(group.tokens.completions) == 1 for group in groups}
    drawing = online(settings)
    if drawing and drawing.answers == "listed" and single == {True}:
        where = "ppo.source" if settings.method == "ppo" else f"{settings.method}.estimator"
        raise DataError(
            f"{snapshot.path} lists one answer a prompt, so {settings.method} with online.answers 'listed' has nothing to "
            f"choose: set {where} to 'logged', or online.answers to 'free'"
        )
    if settings.method == "sft" and len(single) > 1:
        raise DataError(
            f"{snapshot.path} mixes single completions with choices among several: train them as two snapshots"
        )
