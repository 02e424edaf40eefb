"""Training on groups in figures: against TRL's trainers, against our own plain computation, and after a SIGKILL.

Every row is measured against TRL in this process, turn by turn, on one thread, because waiting threads burn CPU time on a
busy machine (benchmarks/race.py). Losses and gradient norms of the same steps stand beside the ratios: both did the
same work. `--quick` keeps 2 of the model's 30 layers, 8,192 of its 49,152 words and half of each prompt, has targets of its own,
takes some of the rows and kills its run beside them.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.figures import Figure, report
from benchmarks.killed_run import bytes_apart
from benchmarks.race import Race, Size, Work, against_plain, run
from core.training.config import DpoSettings, GrpoSettings, SftSettings

FULL = Size()
QUICK = Size(layers=2, prompt_share=0.5)

STEP: Mapping[str, Any] = {"learning_rate": 1e-4, "scheduler": "constant", "warmup_ratio": 0}
GRPO = GrpoSettings(estimator="logged", batch_size=1, beta=0, advantage_scale="std", std_floor=1e-4, **STEP)
GRPO_KL = GRPO.model_copy(update={"beta": 0.04})
LONG = Work(prompt=550, lengths=(14, 22), completions=8, steps=1)
GROUPS = Work(prompt=280, lengths=(12, 20), completions=8)

RACES = (
    Race("grpo", "GRPO on logged groups of 8", GRPO, LONG, 4.5, 3.0),
    Race("grpo-bf16", "GRPO on logged groups of 8", GRPO, LONG, 8.0, 4.0, dtype="bf16"),
    Race("grpo-kl", "GRPO with a KL on logged groups of 8", GRPO_KL, GROUPS, 7.0, 4.0),
    Race(
        "dpo",
        "DPO, 4 prompts a step with one pair each",
        DpoSettings(batch_size=4, **STEP),
        Work(prompt=280, lengths=(12, 20), completions=2),
        3.0,
        2.0,
    ),
    Race(
        "dpo-long",
        "DPO, 4 prompts a step with one pair each and answers of 40 tokens",
        DpoSettings(batch_size=4, **STEP),
        Work(prompt=400, lengths=(40, 40), completions=2),
        2.5,
        1.5,
    ),
    Race(
        "dpo-best",
        "DPO, the best against 7 others",
        DpoSettings(batch_size=1, pairs="best", **STEP),
        GROUPS,
        10.0,
        6.0,
    ),
    Race(
        "sft",
        "SFT, 8 prompts a step with completions of 16 tokens",
        SftSettings(batch_size=8, **STEP),
        Work(prompt=275, lengths=(16, 16), completions=1),
        1.8,
        1.2,
    ),
)
PLAIN = Work(prompt=300, lengths=(11, 11), completions=8)
"""Ten tokens of each completion go through the model, the last predicts nothing."""
PLAIN_SHARE, PLAIN_SHARE_QUICK = 0.85, 0.7
"""Of the ratio of tokens, without sharing to with it; memory traffic can take it above 1."""
OTHERS = ("plain", "killed")
QUICK_ROWS = ("grpo", "dpo-best", "sft", *OTHERS)


def main() -> int:
    """Print the figures; exit 1 when one falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    names = [*(race.name for race in RACES), *OTHERS]
    parser.add_argument("--rows", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    arguments = parser.parse_args()
    rows = arguments.rows or (QUICK_ROWS if arguments.quick else names)
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    return report(measured(rows, quick=arguments.quick))


def measured(rows: Sequence[str], *, quick: bool) -> Iterator[Figure]:
    """The figures of some rows, one after another."""
    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as beside:
        killed = Path(folder) / "killed"
        bytes_differ = beside.submit(bytes_apart, killed, quick=True) if quick and "killed" in rows else None
        for race in RACES:
            if race.name in rows:
                yield from run(race, size, Path(folder) / race.name)
        if "plain" in rows:
            yield against_plain(size, PLAIN, PLAIN_SHARE_QUICK if quick else PLAIN_SHARE)
        if "killed" in rows:
            yield bytes_differ.result() if bytes_differ else bytes_apart(killed, quick=False)


if __name__ == "__main__":
    sys.exit(main())
