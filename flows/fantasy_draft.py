"""The fantasy draft, whole: from simulated leagues to a tested model."""

from typing import Any

from prefect import flow

from core.errors import OvernightError
from core.promotion import Promotion
from core.use_cases import Preset
from flows.parameters import checked
from tasks.collect import collect
from tasks.evaluate import evaluate, play
from tasks.open import ENDINGS, open_run
from tasks.promote import promote
from tasks.release import release
from tasks.report import report
from tasks.reward import reward
from tasks.snapshot import snapshot
from tasks.train import train


@flow(name="fantasy-draft", flow_run_name="fantasy-draft-{preset}", validate_parameters=False, **ENDINGS)
@checked
def fantasy_draft(preset: Preset = Preset("default"), overrides: dict[str, Any] | None = None) -> Promotion:
    """Imitate good drafts, then learn to beat them; ship only if a tournament says so.

    Args:
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
    """
    run = open_run("fantasy_draft", preset, overrides, trains=("sft", "grpo"))
    decisions = collect(run)
    rewards = reward(run, decisions)
    imitator = train(run, "sft", snapshot(run, "sft", rewards))
    drafter = train(run, "grpo", snapshot(run, "grpo", rewards), start=imitator)
    contest = play(run, drafter, others=[imitator])
    evaluation = evaluate(run, contest)
    try:
        files = release(run, drafter, rewards, evaluation)
    except OvernightError:
        report(run, evaluation, ended="failed")
        raise
    promotion = promote(run, drafter, contest, evaluation, files)
    report(run, evaluation, promotion)
    return promotion
