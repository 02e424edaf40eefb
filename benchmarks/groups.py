"""One GRPO step on a group of 8, against TRL's GRPOTrainer and against our own computation without sharing.

Same model, adapter, prompts, completions, rewards, optimizer and process, all on one thread, because waiting threads burn
CPU time on a busy machine. Both take turns of two steps: a first one to warm up, then those whose medians are compared, TRL's
from its first step to its last, ours with all that comes before and after. `--quick` keeps 4 of the model's 30 layers
and 8,192 of its 49,152 words, takes one turn after the warm-up, and has targets of its own.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers.utils import logging as transformers_logging

from benchmarks.figures import Figure, report
from benchmarks.trl_grpo import Steps, drift, train_trl
from core.language.config import model_config
from core.language.group import plain_logprobs, shared_logprobs
from core.language.model import LoadedModel, load_model
from core.language.row import TokenGroup
from core.training.adapter import new_adapter
from core.training.config import AdapterSettings, GrpoSettings
from core.training.data import GroupData, TrainingGroup
from core.training.methods import method_of
from core.training.reference import attach, with_reference
from core.training.schedule import GroupOrder
from core.training.trainer import GroupTrainer

MODEL = "smollm2-135m"
PROMPT, GROUP = 260, 8
LENGTHS = (6, 14)
PLAIN_PROMPT, PLAIN_LENGTHS = 300, (11, 11)
"""Against our own plain computation: ten tokens of each completion go through the model, the last predicts nothing."""
WORDS, QUICK_WORDS = 8_000, 8_192
STEPS = 2
LEARNING_RATE = 1e-4

OUR_SETTINGS = GrpoSettings(
    estimator="logged",
    learning_rate=LEARNING_RATE,
    scheduler="constant",
    warmup_ratio=0,
    batch_size=1,
    beta=0,
    advantage_scale="std",
    std_floor=1e-4,
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run, and what it has to reach."""

    layers: int | None
    turns: int
    against_trl: float
    against_plain: float
    """Share of the ratio of tokens, without sharing to with it; memory traffic can take it above 1."""


FULL = Size(layers=None, turns=3, against_trl=4.5, against_plain=0.85)
QUICK = Size(layers=4, turns=1, against_trl=4.0, against_plain=0.7)


def main() -> int:
    """Print the figures; exit 1 when one falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    size = QUICK if parser.parse_args().quick else FULL
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    groups = make_groups(STEPS)
    with tempfile.TemporaryDirectory() as folder:
        ours, trl = race(size, groups, Path(folder))
    return report([*_against_trl(size, ours, trl), _against_plain(size)])


def _against_trl(size: Size, ours: Steps, trl: Steps) -> list[Figure]:
    cut = "" if size.layers is None else f" cut to {size.layers} layers and {QUICK_WORDS} words"
    turns = f"medians of {size.turns}" if size.turns > 1 else "one turn"
    what = f"GRPO on groups of {GROUP}, prompts of {PROMPT} tokens, SmolLM2-135M{cut}, LoRA r=16, fp32"
    spent = f"TRL GRPOTrainer ({trl.cpu_seconds:.2f} CPU-s to {ours.cpu_seconds:.2f}, {turns})"
    apart = max(abs(a - b) / abs(b) for a, b in zip(ours.losses, trl.losses, strict=True))
    same = "largest relative difference of the losses, old log-probabilities differing from new"
    return [
        Figure(
            f"{what}: examples a CPU-second", trl.cpu_seconds / ours.cpu_seconds, "x", size.against_trl, spent
        ),
        Figure(same, apart, "", 1e-4, "TRL GRPOTrainer", at_most=True),
    ]


def _against_plain(size: Size) -> Figure:
    group = make_groups(1, PLAIN_PROMPT, PLAIN_LENGTHS)[0].tokens
    plain, shared = against_plain(size, group)
    limit = limit_of(group)
    return Figure(
        f"prompt once, forward and backward: {plain / shared:.2f}x, as a share of the tokens saved ({limit:.2f}x)",
        plain / shared / limit,
        "",
        size.against_plain,
        f"the prompt with every completion ({plain:.1f} CPU-s to {shared:.1f})",
    )


def make_groups(count: int, prompt: int = PROMPT, lengths: tuple[int, int] = LENGTHS) -> list[TrainingGroup]:
    """Random token groups with random rewards: the cost and the loss don't care what the words mean."""
    stream = random.Random(0)

    def words(length: int) -> tuple[int, ...]:
        return tuple(stream.randrange(100, WORDS) for _ in range(length))

    return [
        TrainingGroup(
            id=str(index),
            tokens=TokenGroup(words(prompt), tuple(words(stream.randint(*lengths)) for _ in range(GROUP))),
            rewards=tuple(stream.random() for _ in range(GROUP)),
        )
        for index in range(count)
    ]


def limit_of(group: TokenGroup) -> float:
    """Tokens computed without sharing over tokens computed with it."""
    plain = sum(len(group.prompt) + len(completion) - 1 for completion in group.completions)
    return plain / group.computed


def make_model(layers: int | None) -> tuple[PeftModel, LoadedModel]:
    """SmolLM2 (or its first layers) with an adapter that already does something."""
    config = model_config(MODEL)
    loaded = load_model(config, "fp32", torch.device("cpu"))
    if layers is not None:
        loaded.model.model.layers = loaded.model.model.layers[:layers]
        loaded.model.config.num_hidden_layers = layers
        loaded.model.resize_token_embeddings(QUICK_WORDS)
    torch.manual_seed(0)
    model = new_adapter(loaded.model, AdapterSettings(), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    return model, loaded


def race(size: Size, groups: list[TrainingGroup], folder: Path) -> tuple[Steps, Steps]:
    """Both train the same groups from the same weights, in turns: the median cost, and the losses, which don't change."""
    _warm_up, *turns = (turn(size, groups, folder / str(number)) for number in range(1 + size.turns))
    ours, trl = zip(*turns, strict=True)
    return _median(ours), _median(trl)


def _median(turns: Sequence[Steps]) -> Steps:
    return Steps(statistics.median(steps.cpu_seconds for steps in turns), turns[0].losses)


def turn(size: Size, groups: list[TrainingGroup], folder: Path) -> tuple[Steps, Steps]:
    """One after the other."""
    ours = train_ours(make_model(size.layers)[0], groups, folder / "ours")
    model, loaded = make_model(size.layers)
    trl = train_trl(model, loaded.tokenizer, in_our_order(groups), folder / "trl", LEARNING_RATE)
    return ours, trl


def train_ours(model: PeftModel, groups: list[TrainingGroup], folder: Path) -> Steps:
    """GroupTrainer on logged groups, one group a step; the old log-probabilities are the starting weights'."""
    folder.mkdir(parents=True)
    losses: list[float] = []

    def log(phase: str, step: int, total_steps: int, metrics: Any, said: str = "") -> None:
        del step, total_steps, said
        if phase == "train":
            losses.append(metrics["loss"])

    start = time.process_time()
    data = with_reference(model, GroupData(tuple(groups), (), {}), folder / "reference.safetensors", "start")
    drifted = attach(
        data.train,
        torch.tensor([v + d for g in data.train for v, d in zip(g.reference, drift(g), strict=True)]),
    )
    trainer = GroupTrainer(
        model,
        method=method_of(OUR_SETTINGS),
        settings=OUR_SETTINGS,
        train=drifted,
        held_out=(),
        folder=folder,
        log=log,
    )
    trainer.train()
    return Steps(time.process_time() - start, losses)


def in_our_order(groups: list[TrainingGroup]) -> list[TrainingGroup]:
    """The groups as GroupTrainer shuffles them."""
    return [groups[index] for index in GroupOrder(len(groups), OUR_SETTINGS)]


def against_plain(size: Size, tokens: TokenGroup) -> tuple[float, float]:
    """CPU-seconds of one forward and backward pass: without sharing, and with it."""
    model = make_model(size.layers)[0].train()

    def cost(logprobs: Callable[[], torch.Tensor]) -> float:
        start = time.process_time()
        logprobs().mean().backward()
        return time.process_time() - start

    plain: list[float] = []
    shared: list[float] = []
    for _ in range(2):
        shared.append(cost(lambda: shared_logprobs(model, [tokens])))
        plain.append(cost(lambda: plain_logprobs(model, tokens)))
    return min(plain), min(shared)


if __name__ == "__main__":
    sys.exit(main())
