"""One pass of DPO over the simulated raters' pairs, and whose answers the model prefers then, on scenarios it has not seen."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from core.checkpoint import Checkpoint
from core.config import load_config
from core.evaluation import Contest, Evaluation, evaluate
from core.language.model import base_checkpoint
from core.training.launch import train
from core.training.spec import TrainingSpec
from core.use_cases.widget_ratings import WIDGET_RATINGS
from core.use_cases.widget_ratings.config import BASELINES, MODELS, WidgetRatingsConfig
from core.use_cases.widget_ratings.gathering import gather

CANDIDATE, _, UNTRAINED = MODELS
POINTS = 0.15
LOOKS = {"accuracy": "by implicit reward", "logprob_accuracy": "by log-probability"}


def taste_figures(folder: Path) -> Iterator[Figure]:
    """For both accuracies: the gain over the untrained model, and the low end of its interval."""
    config = load_config(WidgetRatingsConfig, "widget_ratings", "demo")
    gather(config, None, _unheard)
    votes = WIDGET_RATINGS.collect(config, folder / "votes", _unheard)
    rewards = WIDGET_RATINGS.reward(config, votes, folder / "rewards", _unheard)
    groups = WIDGET_RATINGS.groups(config, "dpo", rewards, folder / "groups")
    trained = train(
        TrainingSpec(
            settings=config.dpo,
            model=config.model,
            adapter=config.adapter,
            snapshot=groups,
            folder=str(folder / "dpo"),
        )
    )
    untrained = base_checkpoint(config.model)
    entrants: dict[str, Checkpoint] = dict.fromkeys(MODELS, untrained) | {CANDIDATE: trained}
    held_out, _ = WIDGET_RATINGS.contest(config, rewards, entrants, _unheard)
    for metric, how in LOOKS.items():
        settings = config.evaluation.model_copy(update={"primary_metric": metric})
        yield from _gain(held_out, evaluate(held_out, settings, {}), how, groups.notes["pairs"])


def _gain(contest: Contest, found: Evaluation, how: str, pairs: int) -> Iterator[Figure]:
    means = {
        name: float(contest.values_of(name, found.settings.primary_metric).mean())
        for name in contest.policies
    }
    ours, base, ceiling = (means[name] for name in (CANDIDATE, UNTRAINED, BASELINES[0]))
    target = min(POINTS, (ceiling - base) / 2)
    what = f"preference accuracy {how} after {pairs:,} pairs, one pass"
    against = (
        f"{ours:.1%} against {base:.1%} of the untrained model and {ceiling:.1%} of a judge who knows the raters' taste; "
        f"{len(contest.items):,} pairs of {contest.clusters:,} questions, other scenarios"
    )
    yield Figure(f"{what}: gain", ours - base, "share of pairs", target, against)
    interval = found.primary.interval
    low = float("nan") if interval is None else interval.low
    yield Figure(f"{what}: low end of the gain's 95 % interval", low, "share of pairs", 0.0, against)


def _unheard(_share: float, _words: str) -> None:
    """Nobody watches."""
