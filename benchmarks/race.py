"""The same optimizer steps by us and by TRL: the same model, adapter, groups, optimizer, dtype and process, one thread.

Both first warm up on short groups, then they take turns. What counts is from the begin of the first step to the end of the
last, and what the log-probabilities of the reference and of the old policy cost, which TRL computes in its steps and we before.
"""

import copy
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from benchmarks.figures import Figure
from benchmarks.steps import Clock, Steps, drift
from benchmarks.trl_runs import train_trl
from core.language.config import model_config
from core.language.group import plain_logprobs, shared_logprobs
from core.language.model import FloatType, LoadedModel, load_model
from core.language.row import TokenGroup
from core.training.adapter import compute_in_model_type, new_adapter
from core.training.config import AdapterSettings, GrpoSettings, MethodSettings
from core.training.data import GroupData, TrainingGroup
from core.training.methods import method_of
from core.training.reference import attach, with_reference
from core.training.schedule import GroupOrder
from core.training.trainer import GroupTrainer

MODEL = "smollm2-135m"
WORDS, FEW_WORDS = 8_000, 8_192
WARM_UP_PROMPT = 16
SPREAD = 10
"""Prompts of one race are up to so many tokens shorter or longer than its mean."""
LOSSES_APART, NORMS_APART = 1e-4, 1e-3


@dataclass(frozen=True, slots=True)
class Work:
    """Groups of some shape, and how much is done with them."""

    prompt: int
    lengths: tuple[int, int]
    completions: int
    steps: int = 2


@dataclass(frozen=True, slots=True)
class Race:
    """One row of the table: a method on some work, and how many times faster than TRL's trainer it has to be."""

    name: str
    what: str
    settings: MethodSettings
    work: Work
    at_least: float
    at_least_quick: float
    dtype: FloatType = "fp32"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of the model and of each prompt is taken, and how often."""

    layers: int | None = None
    """The model's first layers, with its first 8,192 words; None is the whole model."""
    prompt_share: float = 1.0
    turns: int = 1

    @property
    def whole(self) -> bool:
        """Whether the model is as it is."""
        return self.layers is None

    @property
    def said(self) -> str:
        """What a figure's name says of the model."""
        return "SmolLM2-135M" + (
            "" if self.whole else f" cut to {self.layers} layers and {FEW_WORDS:,} words"
        )


def run(race: Race, size: Size, folder: Path) -> list[Figure]:
    """The race's ratio and, in fp32, how far losses and gradient norms are apart."""
    work = race.work
    prompt = round(work.prompt * size.prompt_share)
    groups = make_groups(work, prompt, race.settings.batch_size * work.steps)
    short = make_groups(work, WARM_UP_PROMPT, race.settings.batch_size)
    _turn(race, size, short, folder / "warm-up")
    turns = [_turn(race, size, groups, folder / str(number)) for number in range(size.turns)]
    ours, trl = (_median(steps) for steps in zip(*turns, strict=True))
    figures = [_ratio(race, size, prompt, ours, trl)]
    if race.dtype == "fp32":
        for what, one, other, limit in (
            ("losses", ours.losses, trl.losses, LOSSES_APART),
            ("gradient norms", ours.norms, trl.norms, NORMS_APART),
        ):
            shown = " and ".join(f"{value:.5g}" for value in other)
            name = f"{race.name}: largest relative difference of the {what}"
            figures.append(Figure(name, _apart(one, other), "", limit, f"TRL's, {shown}", at_most=True))
    return figures


def _ratio(race: Race, size: Size, prompt: int, ours: Steps, trl: Steps) -> Figure:
    steps = f"{race.work.steps} step{'s' if race.work.steps > 1 else ''}"
    turns = f"median of {size.turns} turns" if size.turns > 1 else "one turn"
    return Figure(
        f"{race.name}: {race.what}, prompts of ~{prompt} tokens, {size.said}, LoRA r=16, {race.dtype}",
        trl.cpu_seconds / ours.cpu_seconds,
        "x",
        race.at_least if size.whole else race.at_least_quick,
        f"TRL's {race.settings.method.upper()}Trainer ({trl.cpu_seconds:.2f} CPU-s to {ours.cpu_seconds:.2f}, "
        f"{steps}, {turns} after a warm-up)",
    )


def _apart(ours: Sequence[float], trl: Sequence[float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(ours, trl, strict=True))


def _median(turns: Sequence[Steps]) -> Steps:
    return Steps(statistics.median(steps.cpu_seconds for steps in turns), turns[0].losses, turns[0].norms)


def make_groups(work: Work, prompt: int, count: int) -> list[TrainingGroup]:
    """Random token groups with random rewards: the cost and the loss don't care what the words mean."""
    stream = random.Random(0)

    def words(length: int) -> tuple[int, ...]:
        return tuple(stream.randrange(100, WORDS) for _ in range(length))

    return [
        TrainingGroup(
            id=str(index),
            tokens=TokenGroup(
                words(prompt + stream.randint(-SPREAD, SPREAD)),
                tuple(words(stream.randint(*work.lengths)) for _ in range(work.completions)),
            ),
            rewards=tuple(stream.random() for _ in range(work.completions)),
            weights=(1.0,) * (work.completions == 1),
        )
        for index in range(count)
    ]


def make_model(layers: int | None, dtype: FloatType = "fp32") -> tuple[PeftModel, LoadedModel]:
    """SmolLM2 (or its first layers) with an adapter that already does something."""
    loaded = copy.deepcopy(_base(layers, dtype))
    torch.manual_seed(0)
    model = new_adapter(loaded.model, AdapterSettings(), model_config(MODEL))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    return model, loaded


@cache
def _base(layers: int | None, dtype: FloatType) -> LoadedModel:
    loaded = load_model(model_config(MODEL), dtype, torch.device("cpu"))
    if layers is not None:
        loaded.model.model.layers = loaded.model.model.layers[:layers]
        loaded.model.config.num_hidden_layers = layers
        loaded.model.resize_token_embeddings(FEW_WORDS)
    return loaded


def _turn(race: Race, size: Size, groups: list[TrainingGroup], folder: Path) -> tuple[Steps, Steps]:
    """Both train the same groups from the same weights, one after the other: ours, TRL's."""
    model, loaded = make_model(size.layers, race.dtype)
    ordered = [groups[index] for index in GroupOrder(len(groups), race.settings)]
    trl = train_trl(model, loaded.tokenizer, ordered, race.settings, folder / "trl")
    ours = train_ours(make_model(size.layers, race.dtype)[0], groups, race.settings, folder / "ours")
    return ours, trl


def train_ours(
    model: PeftModel, groups: list[TrainingGroup], settings: MethodSettings, folder: Path
) -> Steps:
    """GroupTrainer on groups; the reference, and the old policy but for its drift, are the starting weights."""
    folder.mkdir(parents=True)
    losses: list[float] = []
    norms: list[float] = []

    def log(phase: str, step: int, total_steps: int, metrics: Any, said: str = "") -> None:
        del step, total_steps, said
        if phase == "train":
            losses.append(metrics["loss"])
            norms.append(metrics["grad_norm"])

    compute_in_model_type(model)
    method, clock = method_of(settings), Clock()
    start = time.process_time()
    train = _referred(model, groups, settings, folder) if method.needs_reference else groups
    before = time.process_time() - start
    trainer = GroupTrainer(
        model, method=method, settings=settings, train=train, held_out=(), folder=folder, log=log
    )
    trainer.add_callback(clock)
    trainer.train()
    return Steps(before + clock.spent, losses, norms)


def _referred(
    model: PeftModel, groups: list[TrainingGroup], settings: MethodSettings, folder: Path
) -> Sequence[TrainingGroup]:
    data = with_reference(model, GroupData(tuple(groups), (), {}), folder / "reference.safetensors", "start")
    if not isinstance(settings, GrpoSettings):
        return data.train
    drifted = [v + d for group in data.train for v, d in zip(group.reference, drift(group), strict=True)]
    return attach(data.train, torch.tensor(drifted))


def against_plain(size: Size, work: Work, at_least: float) -> Figure:
    """One forward and backward pass of a group without sharing its prompt, and with it."""
    group = make_groups(work, work.prompt, 1)[0].tokens
    model = make_model(size.layers)[0].train()
    plain_tokens = sum(len(group.prompt) + len(completion) - 1 for completion in group.completions)
    limit = plain_tokens / group.computed
    plain: list[float] = []
    shared: list[float] = []
    for _ in range(2):
        shared.append(_cost(lambda: shared_logprobs(model, [group])))
        plain.append(_cost(lambda: plain_logprobs(model, group)))
    ratio = min(plain) / min(shared)
    return Figure(
        f"plain: prompt once, forward and backward, {size.said}: {ratio:.2f}x, as a share of the tokens saved ({limit:.2f}x)",
        ratio / limit,
        "",
        at_least,
        f"the prompt with every completion ({min(plain):.1f} CPU-s to {min(shared):.1f})",
    )


def _cost(logprobs: Callable[[], torch.Tensor]) -> float:
    start = time.process_time()
    logprobs().mean().backward()
    return time.process_time() - start
