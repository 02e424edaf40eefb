"""The fantasy draft, whole: from simulated leagues to a tested model."""

from typing import Any

from prefect import flow

from core.promotion import Promotion
from core.use_cases import Preset
from flows.improve import improve
from flows.parameters import checked
from tasks.collect import collect
from tasks.open import ENDINGS, open_run
from tasks.reward import reward


@flow(name="fantasy-draft", flow_run_name="fantasy-draft-{preset}", validate_parameters=False, **ENDINGS)
@checked
def fantasy_draft(preset: Preset = Preset("default"), overrides: dict[str, Any] | None = None) -> Promotion:
    """Imitate good drafts, then learn to beat them; ship only if a tournament says so.

    Args:
        overrides: Settings that differ from the preset, by dotted key: {"grpo.learning_rate": 1e-5}.
    """
    run = open_run("fantasy_draft", preset, overrides, trains=("sft", "grpo"))
    return improve(run, reward(run, collect(run)), ("sft", "grpo"))
