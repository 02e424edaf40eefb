"""Which draws a method's settings ask for, and what became of them over a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from core.errors import TrainingError
from core.training.answers import Answers
from core.training.config import GrpoSettings, MethodSettings, PpoSettings, online
from core.training.data import GroupData
from core.training.draws import Draws, Given
from core.training.group_draws import GroupDraws
from core.training.progress import read_progress
from core.training.reference import StartWeights
from core.training.session_draws import SessionDraws


def draws_of(
    settings: MethodSettings,
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: GroupData,
) -> Draws:
    """Where a method's completions come from; the model holds the weights that training starts from, and a value head.

    Raises: ConfigError for a reward that can't be imported.
    """
    drawing = online(settings)
    if drawing is None or not isinstance(settings, GrpoSettings | PpoSettings):
        return Given()
    wanted = settings.max_kl is not None or (isinstance(settings, GrpoSettings) and settings.beta > 0)
    start = StartWeights(model) if wanted else None
    count = settings.group_size if isinstance(settings, GrpoSettings) else 1
    answers = Answers(model, tokenizer, drawing, count=count, seed=settings.seed, start=start)
    if isinstance(settings, GrpoSettings):
        return GroupDraws(answers, settings)
    return SessionDraws(answers, settings, model, data.train)


def drawn_said(folder: Path) -> str:
    """What a person should know about the completions that a run drew; nothing where it drew none.

    Raises: TrainingError when not one of them could be trained on.
    """
    told = read_progress(folder)
    lines = [line.metrics for line in told if line.phase == "train"]
    lost = {name: [line[name] for line in lines if name in line] for name in _WORDS}
    parts = [words.format(np.mean(lost[name])) for name, words in _WORDS.items() if any(lost[name])]
    said = [f"of the completions and groups that were drawn, {', '.join(parts)}"] if parts else []
    if lost["equal_rewards"] and min(lost["equal_rewards"]) == 1:
        said.append(_nothing_taught(lines))
    looks = [line.metrics for line in told if line.phase == "eval"]
    if looks and all(look.get("unanswered") == 1 for look in looks):
        said.append(
            "no look had a usable answer to a held-out prompt, so no checkpoint could be compared with the start: raise "
            "online.sampling.max_tokens, or look at the reward"
        )
    return "; ".join(said)


def _nothing_taught(lines: Sequence[Mapping[str, float]]) -> str:
    """Raises: TrainingError when the reason is that nothing was whole and scored, which no reward can change."""
    if not any("reward" in line for line in lines):
        cut, unscored = (np.mean([line[name] for line in lines]) for name in ("cut", "unscored"))
        raise TrainingError(
            f"no completion of the whole run can be trained on: {cut:.0%} were cut at max_tokens and {unscored:.0%} had no "
            "score; raise online.sampling.max_tokens, or look at the reward"
        )
    return (
        f"no draw of the whole run taught anything: in all {len(lines)} steps the completions of each prompt earned the "
        "same, or fewer than two could be used; look at the reward, or raise online.sampling.temperature"
    )


_WORDS = {
    "cut": "{:.1%} of completions were cut at max_tokens",
    "unscored": "{:.1%} of completions had no score",
    "equal_rewards": "{:.1%} of groups taught nothing (equal rewards, or fewer than two usable completions)",
    "broken_sessions": "{:.1%} of sessions had an answer that could not be used",
}
