"""Five agents of a filing desk that learn from their own logged decisions: what users confirmed, and what came of them."""

from core.use_case import UseCase
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.contest import contest
from core.use_cases.decision_agents.exam import exam
from core.use_cases.decision_agents.gathering import gather, known_until, statistics
from core.use_cases.decision_agents.groups import groups
from core.use_cases.decision_agents.report import sections
from core.use_cases.decision_agents.rows import NAME, app_line, collect, remember, replay, reward

DECISION_AGENTS = UseCase(
    name=NAME,
    title="Decision agents",
    config=DecisionAgentsConfig,
    collect=collect,
    reward=reward,
    groups=groups,
    contest=contest,
    replay=replay,
    sections=sections,
    reads={
        "collect": ("slot", "as_of", "source", "packages", "rewards", "export"),
        "reward": (),
        "groups-sft": ("model", "slot", "lengths", "export"),
        "groups-ppo": ("model", "slot", "lengths", "export"),
        "contest": ("slot", "lengths", "contest"),
    },
    stored=remember,
    line=app_line,
    exam=exam,
    gather=gather,
    from_app=lambda config: config.source is not None,
    rows_of=lambda config: config.rows_of,
    known_until=known_until,
    statistics=statistics,
    rewards=lambda config: config.rewards,
)
