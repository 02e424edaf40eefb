"""Completions drawn while training, in figures: by us and by transformers, and whole online GRPO steps by us and by TRL.

The same model, adapter, prompts, sampling and process, turn by turn on one thread, because waiting threads burn CPU time on a
busy machine. Draws differ, so cost is counted for the tokens that were drawn; what is held side by side is our rollout's
log-probabilities and those that training computes of the same tokens. `--quick` keeps 2 of the model's 30 layers, 8,192
of its 49,152 words and half of each prompt, and has targets of its own.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from benchmarks.figures import Figure, report
from benchmarks.online_steps import ONLINE, Cost, our_step, trl_step
from benchmarks.race import WARM_UP_PROMPT, Size, Work, make_groups, make_model
from core.language.group import group_logprobs
from core.language.model import FloatType
from core.language.rollout import Rollout, rollouts
from core.language.tree import Tokens
from core.training.adapter import compute_in_model_type

FULL = Size(turns=2)
QUICK = Size(layers=2, prompt_share=0.5)
PROMPT = 280
GROUP, SAMPLING = ONLINE.group_size, ONLINE.online.sampling
APART = 1e-4


@dataclass(frozen=True, slots=True)
class Row:
    """One race and how many times cheaper ours has to be, on the whole model and on a part of it."""

    name: str
    dtype: FloatType
    at_least: float
    at_least_quick: float


GENERATION = (Row("generation", "fp32", 2.5, 1.2), Row("generation-bf16", "bf16", 2.5, 1.2))
STEPS = (Row("online-grpo", "fp32", 4.5, 2.5), Row("online-grpo-bf16", "bf16", 4.5, 2.5))


def main() -> int:
    """Print the figures; exit 1 when one falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    names = [row.name for row in (*GENERATION, *STEPS)]
    parser.add_argument(
        "--rows", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    arguments = parser.parse_args()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    return report(_measured(arguments.rows, QUICK if arguments.quick else FULL))


def _measured(rows: Sequence[str], size: Size) -> Iterator[Figure]:
    for row in GENERATION:
        if row.name in rows:
            yield from _generation(row, size)
    with tempfile.TemporaryDirectory() as folder:
        for row in STEPS:
            if row.name in rows:
                yield _steps(row, size, Path(folder) / row.name)


def _prompts(tokens: int, count: int) -> list[Tokens]:
    return [group.tokens.prompt for group in make_groups(Work(tokens, (1, 1), 1), tokens, count)]


def _generation(row: Row, size: Size) -> Iterator[Figure]:
    """One group of completions, in turns after a warm-up; no gradients on either side."""
    model, loaded = make_model(size.layers, row.dtype)
    compute_in_model_type(model)
    model.eval()
    tokens = round(PROMPT * size.prompt_share)
    drawn: list[Rollout] = []

    def ours(prompt: Tokens) -> int:
        drawn.extend(rollouts(model, loaded.tokenizer, [prompt], GROUP, SAMPLING, seeds=[len(drawn)]))
        return sum(map(len, drawn[-1].completions))

    def theirs(prompt: Tokens) -> int:
        return _generated(model, loaded.tokenizer, prompt)

    for prompt in _prompts(WARM_UP_PROMPT, 1):
        ours(prompt), theirs(prompt)
    turns = [(_cost(ours, prompt), _cost(theirs, prompt)) for prompt in _prompts(tokens, size.turns)]
    mine, other = (statistics.median(costs) for costs in zip(*turns, strict=True))
    yield Figure(
        f"{row.name}: {GROUP} completions of {SAMPLING.max_tokens} tokens, prompts of ~{tokens}, {size.said}, {row.dtype}",
        other / mine,
        "x",
        row.at_least if size.whole else row.at_least_quick,
        f"transformers' generate ({1e3 * other:.1f} CPU-ms a token to {1e3 * mine:.1f}, {_turns(size)})",
    )
    if row.dtype == "fp32":
        yield _same_numbers(model, drawn[1])


def _same_numbers(model: PeftModel, rollout: Rollout) -> Figure:
    with torch.no_grad():
        computed = group_logprobs(model, [rollout.group])
    kept = torch.tensor([value for logprobs in rollout.logprobs for value in logprobs])
    return Figure(
        "a rollout's log-probabilities: largest difference",
        (kept - computed).abs().max().item(),
        "nats",
        APART,
        f"training's own of the same {len(kept)} tokens, fp32",
        at_most=True,
    )


@torch.no_grad()
def _generated(model: PeftModel, tokenizer: PreTrainedTokenizerBase, prompt: Tokens) -> int:
    """How many tokens `generate` drew, called as TRL calls it: the prompt once for every completion."""
    input_ids = torch.tensor([prompt] * GROUP)
    found = model.generate(
        input_ids=input_ids,
        attention_mask=torch.ones_like(input_ids),
        generation_config=GenerationConfig(
            max_new_tokens=SAMPLING.max_tokens,
            do_sample=True,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            disable_compile=True,
        ),
    )[:, len(prompt) :]
    ended = (found == tokenizer.eos_token_id).cumsum(-1).cumsum(-1)
    return int((ended <= 1).sum())


def _cost(draw: Callable[[Tokens], int], prompt: Tokens) -> float:
    start = time.process_time()
    tokens = draw(prompt)
    return (time.process_time() - start) / tokens


def _steps(row: Row, size: Size, folder: Path) -> Figure:
    """One optimizer step a turn: completions are drawn, scored and learned from."""
    tokens = round(PROMPT * size.prompt_share)
    _turn(row, size, _prompts(WARM_UP_PROMPT, 1)[0], folder / "warm-up")
    turns = [
        _turn(row, size, prompt, folder / str(number))
        for number, prompt in enumerate(_prompts(tokens, size.turns))
    ]
    ours, trl = ([turn[place] for turn in turns] for place in (0, 1))
    mine, other = (statistics.median(cost.cpu_seconds for cost in costs) for costs in (ours, trl))
    drawn = [round(statistics.mean(cost.tokens for cost in costs)) for costs in (trl, ours)]
    return Figure(
        f"{row.name}: GRPO steps with {GROUP} completions of at most {SAMPLING.max_tokens} tokens, "
        f"prompts of ~{tokens}, {size.said}, LoRA r=16, {row.dtype}",
        (other / drawn[0]) / (mine / drawn[1]),
        "x",
        row.at_least if size.whole else row.at_least_quick,
        f"TRL's GRPOTrainer ({other:.2f} CPU-s to {mine:.2f}, {drawn[0]} tokens drawn to {drawn[1]}, {_turns(size)})",
    )


def _turn(row: Row, size: Size, prompt: Tokens, folder: Path) -> tuple[Cost, Cost]:
    """Both from the same weights, one after the other: ours, TRL's."""
    model, loaded = make_model(size.layers, row.dtype)
    trl = trl_step(model, loaded.tokenizer, prompt, folder / "trl")
    model, loaded = make_model(size.layers, row.dtype)
    return our_step(model, loaded.tokenizer, prompt, folder / "ours"), trl


def _turns(size: Size) -> str:
    return f"medians of {size.turns} turns" if size.turns > 1 else "one turn"


if __name__ == "__main__":
    sys.exit(main())
