"""The decision agents, whole: from what apps logged to five tested models."""

from typing import Any, cast

from prefect import flow

from core.decision import AgentType
from core.errors import OvernightError, TrainingError
from core.reports.night import Part
from core.run import Run
from core.use_cases import Preset
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.contest import held_out, too_few
from flows.improve import improve
from flows.parameters import checked
from tasks.collect import collect
from tasks.gather import gather, rewards
from tasks.open import ENDINGS, open_run
from tasks.report import report_night
from tasks.reward import reward
from tasks.stage import record_of


@flow(name="decision-agents", flow_run_name="decision-agents-{preset}", validate_parameters=False, **ENDINGS)
@checked
def decision_agents(
    preset: Preset = Preset("default"),
    overrides: dict[str, Any] | None = None,
    agents: list[AgentType] | None = None,
) -> list[Part]:
    """Read what the app's agents did, work out what it was worth, and teach each agent; ship only what answers better.

    Args:
        overrides: Settings that differ from the preset, by dotted key: {"ppo.learning_rate": 1e-5}.
        agents: The agent types; all five without any.
    """
    run = open_run("decision_agents", preset, overrides, trains=("sft", "ppo"))
    gathered, worth = gather(run), rewards(run)
    parts = [_teach(run.of(agent.lower())) for agent in agents or AgentType]
    report_night(run, gathered, worth, parts)
    if failed := [part for part in parts if part.ended == "failed"]:
        raise TrainingError("; ".join(f"{part.slot}: {part.reason}" for part in failed))
    return parts


def _teach(run: Run) -> Part:
    """One agent's part of the night; what goes wrong in it leaves the others theirs."""
    try:
        rows = record_of(reward(run, collect(run)))
        enough, found = run.config.enough_rows, rows.counts.get("train", 0)
        if found < enough:
            reason = f"{found} decisions to train on, of at least {enough} (enough_rows)"
            return Part(slot=run.part, ended="not enough data", reason=reason)
        tested, _ = held_out(cast("DecisionAgentsConfig", run.config), rows)
        if lacking := too_few(rows, tested):
            return Part(slot=run.part, ended="not enough data", reason=lacking)
        promotion = improve(run, rows, ("sft", "ppo"))
    except OvernightError as error:
        return Part(slot=run.part, ended="failed", reason=str(error))
    return Part(slot=run.part, ended="promoted" if promotion.promoted else "kept", reason=promotion.reason)
