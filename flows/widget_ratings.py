"""The widget ratings, whole: from thumbs to a model that chooses what people like."""

from typing import Any, cast

from prefect import State, flow
from prefect.states import Completed

from core.dataset import Snapshot
from core.errors import BusyError
from core.promotion import Promotion
from core.run import Run
from core.training.config import Method
from core.use_cases import Preset
from core.use_cases.widget_ratings.config import WidgetRatingsConfig
from core.use_cases.widget_ratings.contest import held_out_pairs, too_few_held_out
from core.use_cases.widget_ratings.groups import too_few
from flows.improve import improve
from flows.parameters import checked
from tasks.collect import collect
from tasks.gather import gather
from tasks.learn_online import alone, claim, status, use
from tasks.open import ENDINGS, open_run
from tasks.report import report
from tasks.reward import reward
from tasks.snapshot import snapshot
from tasks.stage import record_of


@flow(name="widget-ratings", flow_run_name="widget-ratings-{preset}", validate_parameters=False, **ENDINGS)
@checked
def widget_ratings(
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    *,
    dry_run: bool = False,
    now: bool = False,
) -> Promotion | State[None]:
    """Learn from what people rated since the last time, where that is enough; ship only what prefers what they like.

    Switched off (`online.enabled`), it touches nothing, unless it is asked to learn at once or to show the pairs.

    Args:
        overrides: Settings that differ from the preset, by dotted key: {"dpo.learning_rate": 1e-5}.
        dry_run: Make the pairs and their report, and train nothing.
        now: Learn at once, however few ratings are new.
    """
    run = open_run("widget_ratings", preset, overrides, trains=("dpo", "kto"))
    try:
        with alone(run):
            return _learn(run, dry_run=dry_run, now=now)
    except BusyError as error:
        return _ended(run, f"already running: {error}")


def _learn(run: Run, *, dry_run: bool, now: bool) -> Promotion | State[None]:
    config = cast("WidgetRatingsConfig", run.config)
    if config.online.enabled or now or dry_run:
        gather(run)
    found = status(run, config.online)
    if not (found.should_retrain or now or dry_run):
        return _ended(run, f"nothing to do yet: {found.reason}")
    if not dry_run:
        claim(run)
    rewards = record_of(reward(run, collect(run)))
    pairs = record_of(snapshot(run, "dpo", rewards))
    alone_ones = record_of(snapshot(run, "kto", rewards))
    counts, lacking = _enough(config, pairs, alone_ones, rewards)
    if dry_run:
        return _ended(run, f"dry run: {counts}")
    if lacking:
        return _ended(run, f"not enough data: {lacking} ({counts})")
    leftovers = config.leftovers and not too_few(config, "kto", alone_ones)
    methods: tuple[Method, ...] = ("dpo", "kto") if leftovers else ("dpo",)
    promotion = improve(run, rewards, methods)
    use(run)
    return promotion


def _enough(
    config: WidgetRatingsConfig, pairs: Snapshot, alone_ones: Snapshot, rewards: Snapshot
) -> tuple[str, str | None]:
    """How much there is to train on and to test by; and what is lacking, before anything is trained."""
    tested, _ = held_out_pairs(config, rewards)
    counts = (
        f"{pairs.notes['pairs']:,} pairs to train on, {alone_ones.counts.get('train', 0):,} prompts without one, "
        f"{len(tested):,} held-out pairs"
    )
    return counts, too_few(config, "dpo", pairs) or too_few_held_out(tested)


def _ended(run: Run, why: str) -> State[None]:
    """A run that goes no further is complete, and its report says why."""
    report(run, ending=why)
    return Completed(message=why)
